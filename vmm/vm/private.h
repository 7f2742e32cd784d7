/* SPDX-License-Identifier: BSD-2-Clause */
/* The VM, and what the files of vm/ share. */
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

/* What the vCPU threads are to do. */
enum vm_phase {
	VM_PHASE_PAUSED,
	VM_PHASE_RUN,
	VM_PHASE_END,
};

/* Memory mapped from the snapshot's file; see mapped.c. */
struct mapped {
	bool open;
	int watch_fd; /* an inotify; -1: none */
	struct loop_source *source;
	struct sigbus_watch sigbus;
	atomic_bool written; /* by another process, according to inotify */
	atomic_bool reported; /* why the VM ends */
};

/* One vCPU thread. */
struct vcpu {
	struct vm *vm;
	struct kvm_vcpu *cpu; /* in machine.cpus */
	pthread_t thread;
	bool started; /* changed by the main thread, under vm->lock */
	bool parked; /* vm->lock */
	atomic_bool left; /* the guest, for good */
	bool unfinished; /* an I/O exit that the next entry completes */
};

/*
 * The VM.  @lock guards phase, end and the flags of the vCPU threads; @changed is
 * signalled when phase, end or a parked flag changes.  @phase is atomic as well, so
 * that the run loop reads it without the lock.
 */
struct vm {
	struct machine machine;
	struct vm_config config;
	struct loop *loop;
	struct pci_host *pci;
	struct device devices[VM_DEVICES_MAX];
	unsigned int device_count;
	struct vcpu *vcpus;
	struct pager_choice pager_choice;
	struct pager *pager; /* NULL: no page is absent */
	struct mapped mapped; /* under PAGER_MAP */
	struct pager_stats eager_stats; /* without a pager */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	_Atomic enum vm_phase phase;
	_Atomic uint64_t entered_ns; /* 0: no vCPU has entered */
	bool paused; /* by vm_pause(), devices quiesced */
	bool loaded; /* restored and not run since: a snapshot's clocks */
	struct vm_end end;
	int end_fd; /* an eventfd, written by vm_end(); -1: none */
	int signal_fd;
};

/* state.c: makes every vCPU leave the guest and check the phase; lock held. */
void vcpus_kick(struct vm *vm);

/* devices.c: creates the devices of the table, in order; destroys in reverse. */
int vm_devices_create(struct vm *vm);
void vm_devices_destroy(struct vm *vm);
/*
 * Quiesces all devices or none: 0, -ETIMEDOUT or -EBUSY where the loop waits for
 * a page or a file, -ECANCELED, or an error of a device; logged.
 */
int vm_devices_quiesce(struct vm *vm);
void vm_devices_resume(struct vm *vm);

/* vcpu.c: the vCPUs with the interrupt controller, then their threads. */
int vcpus_create(struct vm *vm);
int vcpus_start(struct vm *vm);
/* Joins the threads; vm_end() has kicked them. */
void vcpus_join(struct vm *vm);
/* Joins the threads that end within @ns; whether all have. */
bool vcpus_wait(struct vm *vm, uint64_t ns);

/*
 * paging.c: chooses the pager mode, before memory exists; then populates memory,
 * or creates the pager that will.
 */
int vm_paging_choose(struct vm *vm);
int vm_memory_from_plan(struct vm *vm, struct plan *plan);
int vm_memory_from_snapshot(struct vm *vm);

/*
 * mapped.c: watches the file that memory is mapped from (PAGER_MAP); in other
 * modes these do nothing.  check: whether the file has changed; fault: whether
 * KVM failed to access @gpa because of the file.  If so the VM ends, with the
 * reason logged.
 */
int vm_mapped_open(struct vm *vm);
void vm_mapped_close(struct vm *vm);
bool vm_mapped_check(struct vm *vm);
bool vm_mapped_fault(struct vm *vm, gpa_t gpa);

/* exit.c: handles one exit of KVM_RUN, which returned @result.  vCPU thread. */
void vcpu_handle_exit(struct vcpu *vcpu, int result);

#endif
