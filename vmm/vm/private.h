/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of vm/ share: the machine's insides.
 */
#ifndef VMM_VM_PRIVATE_H
#define VMM_VM_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "vmm/base/log.h"
#include "vmm/bus/device.h"
#include "vmm/mem/sigbus.h"
#include "vmm/vm/snapshot.h"
#include "vmm/vm/vm.h"

struct loop;
struct pci_host;

/* What the control side wants of the vCPUs. */
enum vm_phase {
	VM_PHASE_PAUSED,
	VM_PHASE_RUN,
	VM_PHASE_END,
};

/* Memory that is the snapshot's file, mapped; see mapped.c. */
struct mapped {
	bool open;
	int watch_fd; /* an inotify; -1: none */
	struct loop_source *source;
	struct sigbus_watch sigbus;
	atomic_bool written; /* by another, as the watch has said */
	atomic_bool reported; /* why the machine ends */
};

/* One vCPU thread. */
struct vcpu {
	struct vm *vm;
	struct kvm_vcpu *cpu; /* in machine.cpus */
	pthread_t thread;
	bool started;
	bool parked; /* vm->lock */
	atomic_bool left; /* the guest, for good */
	bool unfinished; /* an exit whose end is in the next entry */
	struct log_budget log; /* what this vCPU may provoke */
};

/*
 * The machine.  @lock guards phase, end and the parked flags; @changed is
 * signalled when any of them changes.  @phase is atomic as well, so that the
 * run loop looks at it without the lock.
 */
struct vm {
	struct machine machine;
	struct vm_config config;
	struct loop *loop;
	struct pci_host *pci;
	struct device devices[VM_DEVICES_MAX];
	unsigned int device_count;
	struct vcpu *vcpus;
	struct pager_choice paging;
	struct pager *pager; /* NULL: no page is absent */
	struct mapped mapped; /* under PAGER_MAP */
	struct pager_stats eager_stats; /* how memory was filled without one */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	_Atomic enum vm_phase phase;
	_Atomic uint64_t entered_ns; /* a figure; 0: no vCPU has entered */
	bool paused; /* by the control side, devices at rest as well */
	bool loaded; /* and has not run since: the clocks are a snapshot's */
	struct vm_end end;
	int end_fd; /* an eventfd, written by vm_end(); -1: none */
	int signal_fd;
};

/* devices.c: makes the devices of the table, in order; destroys in reverse. */
int vm_devices_create(struct vm *vm);
void vm_devices_destroy(struct vm *vm);
/*
 * Brings the devices to rest, or none of them: 0, -ETIMEDOUT or -EBUSY where the
 * loop waits for a page or a file, -ECANCELED, or an error of a device; logged.
 * Ends the rest.
 */
int vm_devices_quiesce(struct vm *vm);
void vm_devices_resume(struct vm *vm);

/* vcpu.c: the threads.  vcpus_stop() kicks and joins them. */
int vcpus_create(struct vm *vm);
int vcpus_start(struct vm *vm);
void vcpus_stop(struct vm *vm);
/* Waits at most @ns for all threads to end; whether they did. */
bool vcpus_wait(struct vm *vm, uint64_t ns);
/* Makes every vCPU leave the guest soon and look at the phase. */
void vcpus_kick(struct vm *vm);

/* paging.c: how memory is filled; see there. */
int vm_paging_choose(struct vm *vm);
int vm_memory_from_plan(struct vm *vm, struct plan *plan);
int vm_memory_from_snapshot(struct vm *vm);
/* After a userfault exit at @gpa: 0, or as pager_vcpu_fault(). */
int vm_paging_fault(struct vcpu *vcpu, gpa_t gpa);

/*
 * mapped.c: watches the file that memory is mapped from; all of them do nothing
 * but under PAGER_MAP.  Whether the file has changed, or KVM cannot reach @gpa
 * because it is mapped: the machine has been made to end, and the log says why.
 */
int vm_mapped_open(struct vm *vm);
void vm_mapped_close(struct vm *vm);
bool vm_mapped_check(struct vm *vm);
bool vm_mapped_fault(struct vm *vm, gpa_t gpa);

/* exit.c: handles one exit of KVM_RUN, which returned @result. */
void vcpu_handle_exit(struct vcpu *vcpu, int result);

#endif
