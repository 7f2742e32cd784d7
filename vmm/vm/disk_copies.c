/* SPDX-License-Identifier: BSD-2-Clause */
/* See the header; io/disk_copy.c copies a disk. */
#include "vmm/vm/disk_copies.h"

#include "vmm/base/bytes.h"
#include "vmm/io/disk.h"
#include "vmm/snap/save.h"
#include "vmm/vm/private.h"

_Static_assert(VM_DISKS_MAX <= SNAP_DISKS_MAX, "each disk may have a copy");

/* Little enough to be copied in a pause, of each disk: in some milliseconds. */
#define FEW_BYTES (4 * MIB)

#define PASSES_MAX 16

static int report(void *ctx, uint64_t done_bytes, uint64_t of_bytes)
{
	const struct disk_copies *copies = ctx;

	return vm_save_report(copies->vm, copies->options,
			      done_bytes / PAGE_BYTES, of_bytes / PAGE_BYTES);
}

static void copied(void *ctx, uint64_t bytes)
{
	const struct disk_copies *copies = ctx;

	snap_save_spend(copies->save, bytes);
}

int disk_copies_begin(struct disk_copies *copies, struct vm *vm,
		      const struct vm_save_options *options,
		      struct snap_save *save)
{
	int r = 0;

	*copies = (struct disk_copies){ .vm = vm,
					.options = options,
					.save = save };
	if (!options->copy_disks)
		return 0;
	for (unsigned int i = 0; r >= 0 && i < vm->config.disk_count; i++) {
		struct disk *disk = &vm->config.disks[i];

		if (disk->read_only)
			continue;
		r = snap_save_disk(save, i, disk->size_bytes);
		if (r >= 0)
			r = disk_copy_begin(&copies->list[copies->count++],
					    disk, r);
	}
	return r < 0 ? r : 0;
}

/*
 * One pass over those disks of which more than @bytes are left, or that are cloned.
 * Only the first has the save's rate: the others must be faster than the guest.
 */
static int pass(struct disk_copies *copies, uint64_t bytes, bool first)
{
	const struct disk_copy_progress progress = { report, copies,
						     first ? copied : NULL };
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < copies->count; i++)
		if (copies->list[i].clones ||
		    disk_copy_left_bytes(&copies->list[i]) > bytes)
			r = disk_copy_pass(&copies->list[i], &progress);
	return r;
}

/* What is left of all disks. */
static uint64_t left_bytes(const struct disk_copies *copies)
{
	uint64_t left = 0;

	for (unsigned int i = 0; i < copies->count; i++)
		left += disk_copy_left_bytes(&copies->list[i]);
	return left;
}

/* Passes until little is left, or as much as before. */
static int settle(struct disk_copies *copies)
{
	uint64_t before = UINT64_MAX;
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < PASSES_MAX; i++) {
		uint64_t left = left_bytes(copies);

		if (left <= FEW_BYTES || left > before - before / 4)
			break;
		before = left;
		r = pass(copies, 0, false);
	}
	return r;
}

int disk_copies_run(struct disk_copies *copies)
{
	int r = pass(copies, 0, true);

	return r == 0 ? settle(copies) : r;
}

int disk_copies_catch_up(struct disk_copies *copies)
{
	int r = pass(copies, FEW_BYTES, false);

	return r == 0 ? settle(copies) : r;
}

int disk_copies_cut(struct disk_copies *copies)
{
	const struct disk_copy_progress progress = { report, copies, copied };
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < copies->count; i++)
		r = disk_copy_cut(&copies->list[i], &progress);
	return r;
}

void disk_copies_end(struct disk_copies *copies)
{
	for (unsigned int i = 0; i < copies->count; i++)
		disk_copy_end(&copies->list[i]);
}
