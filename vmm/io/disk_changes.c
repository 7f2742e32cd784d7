// SPDX-License-Identifier: BSD-2-Clause
/*
 * See the header.  A change is followed by its note, or by the check whether changes
 * are noted, which is sequentially consistent; a copy follows disk_changes_take() or
 * _start().  One of the two sees the other.
 */
#include "vmm/io/disk_changes.h"

#include <errno.h>

#include "vmm/base/bits.h"
#include "vmm/base/bytes.h"
#include "vmm/base/zeros.h"

int disk_changes_start(struct disk_changes *changes, uint64_t bytes)
{
	uint64_t blocks = (bytes + DISK_CHANGE_BYTES - 1) / DISK_CHANGE_BYTES;

	if (!changes->bits) {
		changes->words = bits_words(blocks);
		changes->bits = zeros_map(changes->words * sizeof(uint64_t));
	}
	if (!changes->bits)
		return -ENOMEM;
	for (uint64_t i = 0; i < changes->words; i++)
		if (atomic_load(&changes->bits[i]))
			atomic_store(&changes->bits[i], 0);
	/* An exchange, so that later reads of the disk are not moved before it. */
	atomic_exchange(&changes->on, true);
	return 0;
}

void disk_changes_stop(struct disk_changes *changes)
{
	atomic_store(&changes->on, false);
}

uint64_t disk_changes_take(struct disk_changes *changes, uint64_t n)
{
	/* Most are zero, and an exchange would make their page present. */
	return atomic_load(&changes->bits[n]) ?
		       atomic_exchange(&changes->bits[n], 0) :
		       0;
}

uint64_t disk_changes_count(const struct disk_changes *changes)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < changes->words; i++)
		count += (uint64_t)__builtin_popcountll(
			atomic_load_explicit(&changes->bits[i],
					     memory_order_relaxed));
	return count;
}

void disk_changes_note(struct disk_changes *changes, uint64_t offset,
		       uint64_t bytes)
{
	uint64_t at = offset / DISK_CHANGE_BYTES;
	uint64_t end = (offset + bytes - 1) / DISK_CHANGE_BYTES + 1;

	/* The change is visible before @on is read. */
	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_load(&changes->on))
		return;
	bits_set_atomic(changes->bits, at, end);
}

void disk_changes_finish(struct disk_changes *changes)
{
	zeros_unmap((void *)changes->bits, changes->words * sizeof(uint64_t));
	*changes = (struct disk_changes){ .bits = NULL };
}
