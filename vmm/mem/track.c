/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM's dirty log, and the notes of what this program has written.
 *
 * Any thread notes a page after it has written it; the thread that takes the bits
 * clears them before it reads the pages.  So a page is read after its last write, or
 * its bit is set again.
 */
#include "vmm/mem/track.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "vmm/base/bits.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/base/zeros.h"
#include "vmm/kvm/kvm.h"
#include "vmm/mem/memory.h"

/* Switches the dirty log of all regions. */
static int set_logs(struct memory *memory, bool on)
{
	uint32_t flag = KVM_MEM_LOG_DIRTY_PAGES;
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < memory->region_count; i++)
		r = memory_change_slot(memory, &memory->regions[i],
				       on ? flag : 0, on ? 0 : flag);
	return r;
}

int track_start(struct memory *memory)
{
	void *notes;
	int r;

	if (memory_is_tracked(memory))
		return 0;
	if (memory->backing == MEMORY_GUEST_MEMFD)
		return -EOPNOTSUPP;
	notes = zeros_map(memory_note_bytes(memory));
	if (!notes)
		return log_errno(errno, "dirty log");
	r = set_logs(memory, true);
	if (r < 0) {
		set_logs(memory, false);
		zeros_unmap(notes, memory_note_bytes(memory));
		return r;
	}
	atomic_store_explicit(&memory->notes, notes, memory_order_release);
	return 0;
}

/* Adds what KVM has logged of a region: a bit for each granule. */
static int take_log(const struct memory *memory,
		    const struct memory_region *region, uint64_t *bits)
{
	uint64_t first = region->offset_bytes / PAGE_BYTES;
	uint64_t granule = memory->granule_pages;
	uint64_t granules = region->size_bytes / PAGE_BYTES / granule;
	CLEANUP_FREE uint64_t *log = calloc(bits_words(granules), sizeof(*log));
	int r = log ? kvm_dirty_log_take(memory->kvm, region->slot, log) :
		      log_errno(ENOMEM, "dirty log");

	if (r < 0)
		return r;
	for (uint64_t i = track_next(log, 0, granules); i < granules;
	     i = track_next(log, i + 1, granules))
		bits_set(bits, first + i * granule, first + (i + 1) * granule);
	return 0;
}

int track_take(struct memory *memory, uint64_t *bits)
{
	_Atomic uint64_t *notes =
		atomic_load_explicit(&memory->notes, memory_order_acquire);
	uint64_t words = bits_words(memory->size_bytes / PAGE_BYTES);
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < memory->region_count; i++)
		r = take_log(memory, &memory->regions[i], bits);
	for (uint64_t i = 0; i < words; i++)
		if (atomic_load_explicit(&notes[i], memory_order_relaxed))
			bits[i] |=
				atomic_exchange_explicit(&notes[i], 0,
							 memory_order_acq_rel);
	return r;
}

uint64_t track_next(const uint64_t *bits, uint64_t from, uint64_t pages)
{
	while (from < pages) {
		uint64_t word = bits[from / 64] >> from % 64;

		if (word)
			return min_u64(from + (uint64_t)__builtin_ctzll(word),
				       pages);
		from = align_down(from, 64) + 64;
	}
	return pages;
}

bool track_run(const struct memory *memory, const uint64_t *bits, uint64_t from,
	       uint64_t most, struct page_run *run)
{
	uint64_t pages = memory->size_bytes / PAGE_BYTES;
	uint64_t first = track_next(bits, from, pages);

	if (first == pages)
		return false;
	most = min_u64(memory_pages_left(memory, first), most);
	*run = (struct page_run){ first, 1 };
	while (run->count < most &&
	       bits[(first + run->count) / 64] >> (first + run->count) % 64 & 1)
		run->count++;
	return true;
}

void track_round(const struct memory *memory, uint64_t *bits)
{
	uint64_t pages = memory->size_bytes / PAGE_BYTES;
	uint32_t granule = memory->granule_pages;

	if (granule == 1)
		return;
	for (uint64_t page = track_next(bits, 0, pages); page < pages;
	     page = track_next(bits, page, pages)) {
		page = align_down(page, granule);
		bits_set(bits, page, page + granule);
		page += granule;
	}
}

uint64_t track_count(const uint64_t *bits, uint64_t words)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < words; i++)
		n += (uint64_t)__builtin_popcountll(bits[i]);
	return n;
}
