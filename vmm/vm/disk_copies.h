/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The copies of a VM's disks in a snapshot, from the beginning of a save to its end.
 * Control thread.  0 or -errno, logged.
 */
#ifndef VMM_VM_DISK_COPIES_H
#define VMM_VM_DISK_COPIES_H

#include "vmm/io/disk_copy.h"
#include "vmm/vm/snapshot.h"

struct disk_copies {
	struct vm *vm;
	const struct vm_save_options *options;
	struct snap_save *save;
	unsigned int count; /* 0: no copies are wanted */
	struct disk_copy list[VM_DISKS_MAX];
};

/*
 * Creates a copy of each writable disk in @save, if @options says so.
 * disk_copies_end() follows in any case.
 */
int disk_copies_begin(struct disk_copies *copies, struct vm *vm,
		      const struct vm_save_options *options,
		      struct snap_save *save);

/* Copies all, while the VM may run, until what changes meanwhile is little. */
int disk_copies_run(struct disk_copies *copies);

/* Copies what has changed since, if that is much. */
int disk_copies_catch_up(struct disk_copies *copies);

/* Copies the rest: the VM is paused, and no request is in flight. */
int disk_copies_cut(struct disk_copies *copies);

void disk_copies_end(struct disk_copies *copies);

#endif
