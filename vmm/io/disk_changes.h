/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which blocks of a disk were changed, while it is copied.
 *
 * A change is noted when it is complete, and a block is copied after its note was
 * taken, so a copy that may lack a change is followed by another one.
 */
#ifndef VMM_IO_DISK_CHANGES_H
#define VMM_IO_DISK_CHANGES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define DISK_CHANGE_BYTES (UINT64_C(64) << 10)

struct disk_changes {
	_Atomic uint64_t
		*bits; /* a bit for each block; mapped; NULL: never on */
	uint64_t words;
	atomic_bool on;
};

/*
 * Notes changes of a disk of @bytes from now on; none is noted yet.  The bitmap stays
 * for the life of the disk, as a thread may be about to note a change.  -ENOMEM,
 * silent.  One thread, with the following two.
 */
int disk_changes_start(struct disk_changes *changes, uint64_t bytes);
void disk_changes_stop(struct disk_changes *changes);

/* Takes the notes of word @n, which has 64 blocks. */
uint64_t disk_changes_take(struct disk_changes *changes, uint64_t n);

/* The number of blocks that are noted.  Any thread. */
uint64_t disk_changes_count(const struct disk_changes *changes);

/*
 * Notes a change that is complete, or has failed, if changes are noted.  @bytes is
 * not 0.  Any thread.
 */
void disk_changes_note(struct disk_changes *changes, uint64_t offset,
		       uint64_t bytes);

/* No other thread uses them any more. */
void disk_changes_finish(struct disk_changes *changes);

#endif
