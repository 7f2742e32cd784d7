/* SPDX-License-Identifier: BSD-2-Clause */
/* The VM, and what the files of vm/ share. */
#ifndef VMM_VM_PRIVATE_H
#define VMM_VM_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "vmm/base/log.h"
#include "vmm/bus/device.h"
#include "vmm/mem/sigbus.h"
#include "vmm/snap/format.h"
#include "vmm/snap/layout.h"
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

/* Memory mapped from the snapshot's files; see mapped.c. */
struct mapped {
	/* Where the mode may map, or does; both immutable, and owned. */
	struct snap_layout layout;
	struct memory_part *parts; /* the same for memory_init() */
	bool open;
	int watch_fd; /* an inotify; -1: none */
	int watches[SNAP_CHAIN_MAX]; /* its watch of each file of the layout */
	struct loop_source *source;
	struct sigbus_watch sigbus;
	/* Written to by another process, according to inotify; NULL: none. */
	_Atomic(const struct snap_file *) written;
	atomic_bool reported; /* why the VM ends */
	/* PAGER_MAP, see mapped_faults.c; of the main thread: */
	struct fault_watch *fault_watches; /* one a vCPU; owned; NULL: none */
	unsigned int rest_ticks; /* until there may be a search again */
	/* PAGER_MAP, see mapped_load.c */
	pthread_t loader;
	bool loads; /* the thread was started, and not joined */
	bool recorded; /* the working set of this run, if it is known: */
	uint64_t *accessed; /* owned */
	size_t accessed_count;
};

/* One vCPU thread. */
struct vcpu {
	struct vm *vm;
	struct kvm_vcpu *cpu; /* in machine.cpus */
	pthread_t thread;
	bool started; /* changed by the main thread, under vm->lock */
	bool parked; /* vm->lock */
	atomic_bool left; /* the guest, for good; set under vm->lock */
	bool unfinished; /* an I/O exit that the next entry completes */
	bool no_prefault; /* KVM does not map pages ahead */
};

/*
 * The VM.  @lock guards phase, end and the flags of the vCPU threads; @changed is
 * signalled when phase, end or a flag changes.  @phase is atomic as well, so
 * that the run loop reads it without the lock.
 */
struct vm {
	struct machine machine;
	struct vm_config config;
	struct loop *loop;
	struct loop *disk_loop; /* of the disks; NULL: there is none */
	struct pci_host *pci;
	struct device devices[VM_DEVICES_MAX];
	unsigned int device_count;
	unsigned int first_disk; /* in @devices, if there are disks */
	struct vcpu *vcpus;
	struct pager_choice pager_choice;
	struct pager *pager; /* NULL: no page is absent */
	struct mapped mapped; /* for MEMORY_FILE */
	struct pager_stats eager_stats; /* without a pager */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	_Atomic enum vm_phase phase;
	_Atomic uint64_t entered_ns; /* 0: no vCPU has entered */
	bool paused; /* by vm_pause(), devices quiesced */
	bool loaded; /* restored and not run since: a snapshot's clocks */
	/*
	 * Control thread: the pages written since the snapshot with this id, one bit
	 * each, mapped; NULL: there is none, or nothing was tracked since.
	 */
	uint64_t *since;
	uint8_t since_id[SNAP_ID_BYTES];
	struct vm_end end;
	int end_fd; /* an eventfd, written by vm_end(); -1: none */
	int signal_fd;
};

/* pause.c: -ETIMEDOUT, logged, if a thread waits for an unavailable page. */
int vm_check_stall(const struct vm *vm);

/* state.c: makes every vCPU leave the guest and check the phase; lock held. */
void vcpus_kick(struct vm *vm);

/* devices.c: creates the devices of the table, in order; destroys in reverse. */
int vm_devices_create(struct vm *vm);
void vm_devices_destroy(struct vm *vm);
/*
 * Quiesces all devices or none: 0, -ETIMEDOUT or -EBUSY where a loop waits for
 * a page or a file, -ECANCELED, or an error of a device; logged.
 */
int vm_devices_quiesce(struct vm *vm);
void vm_devices_resume(struct vm *vm);
/*
 * Waits until what the loops do now is done; devices that run may do more.  Errors as
 * above.
 */
int vm_devices_sync(const struct vm *vm);

/* vcpu.c: the vCPUs with the interrupt controller, then their threads. */
int vcpus_create(struct vm *vm);
int vcpus_start(struct vm *vm);
/* Joins the threads; vm_end() has kicked them. */
void vcpus_join(struct vm *vm);
/* Waits until all threads have left the guest for good, at most @ns. */
void vcpus_wait(struct vm *vm, uint64_t ns);

/*
 * paging.c: chooses the pager mode and with it the backing of memory, before
 * memory exists; then populates memory, or creates the pager that will.
 */
int vm_paging_choose(struct vm *vm, struct memory_config *memory);
int vm_memory_from_plan(struct vm *vm, struct plan *plan);
int vm_memory_from_snapshot(struct vm *vm);

/*
 * mapped.c: watches the files that memory is mapped from, if it is.  check:
 * whether one has changed; fault: whether KVM failed to access @gpa because of
 * its file.  If so the VM ends, with the reason and the file logged.
 */
int vm_mapped_open(struct vm *vm);
void vm_mapped_close(struct vm *vm);
bool vm_mapped_check(struct vm *vm);
bool vm_mapped_fault(struct vm *vm, gpa_t gpa);

/*
 * mapped_faults.c: after how many ms without an event vm_mapped_tick() is due, which
 * finds a page that cannot be read where KVM does not tell; -1: never.  Main thread.
 */
int vm_mapped_tick_ms(struct vm *vm);
void vm_mapped_tick(struct vm *vm);
void vm_mapped_faults_close(struct vm *vm);

/*
 * mapped_load.c: loads the working set and then what the background fill wants,
 * under PAGER_MAP; nothing in other modes.  record: the working set so far, where
 * that is wanted, once; the vCPUs do not run.  stop: the VM has ended; records, too.
 */
int vm_mapped_load_start(struct vm *vm);
void vm_mapped_record(struct vm *vm);
void vm_mapped_load_stop(struct vm *vm);

/*
 * live.c: tracks the guest's writes since a snapshot, by id; -errno, logged; and
 * frees what that took.
 */
int vm_track_since(struct vm *vm, const uint8_t id[SNAP_ID_BYTES]);
void vm_track_finish(struct vm *vm);

/*
 * save.c: the parts of a save.  open: begins it.  state: everything but memory, of a
 * VM that is paused.  memory: all of it.
 */
int vm_save_open(struct vm *vm, const char *path,
		 const struct vm_save_options *options,
		 struct snap_save **save);
int vm_save_state(struct vm *vm, struct snap_save *save,
		  const struct vm_save_options *options);
int vm_save_memory(struct vm *vm, struct snap_save *save,
		   const struct vm_save_options *options);
int vm_save_sync_disks(const struct vm *vm);

/*
 * progress.c: -ECANCELED, logged, if the save must end.  check_end: the VM has ended;
 * threads blocked on pages are woken then, and see zeros.  report: or was cancelled;
 * reports that @done of @of pages were saved.
 */
int vm_save_check_end(const struct vm *vm);
int vm_save_report(const struct vm *vm, const struct vm_save_options *options,
		   uint64_t done, uint64_t of);

/* exit.c: handles one exit of KVM_RUN, which returned @result.  vCPU thread. */
void vcpu_handle_exit(struct vcpu *vcpu, int result);

#endif
