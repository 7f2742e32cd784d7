/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The userfault gate: the bitmaps that KVM reads, one bit a granule (KVM's
 * pages are the host's).
 *
 * Memory order: the kernel reads a word of the bitmap with acquire; a bit is
 * cleared with release after the page's contents were written, so a vCPU that
 * finds the bit clear finds the contents (KVM_SET_USER_MEMORY_REGION2 in the
 * kernel's KVM API document asks for just this).
 */
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>

#include "vmm/base/log.h"
#include "vmm/base/zeros.h"
#include "vmm/kvm/uapi.h"
#include "vmm/mem/memory.h"
#include "vmm/pager/gates.h"

#define WORD_BITS (CHAR_BIT * sizeof(unsigned long))

/* The bytes of a region's bitmap. */
static size_t bitmap_bytes(const struct memory *memory,
			   const struct memory_region *region)
{
	uint64_t bits = region->size_bytes / memory_granule_bytes(memory);

	return (bits + WORD_BITS - 1) / WORD_BITS * sizeof(unsigned long);
}

/* Untouched words of the bitmaps cost no memory. */
int bitmap_map(struct memory *memory)
{
	for (unsigned int i = 0; i < memory->region_count; i++) {
		struct memory_region *region = &memory->regions[i];
		void *p = zeros_map(bitmap_bytes(memory, region));

		if (!p)
			return log_errno(errno, "userfault bitmap");
		region->userfault_bitmap = p;
		region->flags |= KVM_MEM_USERFAULT;
	}
	return 0;
}

void bitmap_unmap(struct memory *memory)
{
	for (unsigned int i = 0; i < memory->region_count; i++) {
		struct memory_region *region = &memory->regions[i];

		zeros_unmap(region->userfault_bitmap,
			    bitmap_bytes(memory, region));
		region->userfault_bitmap = NULL;
		region->flags &= ~(uint32_t)KVM_MEM_USERFAULT;
	}
}

/* Changes a range of bits in one region, a word at a time. */
static void change_bits(const struct memory_region *region, uint64_t bit,
			uint64_t count, bool set)
{
	while (count) {
		_Atomic unsigned long *word =
			(_Atomic unsigned long *)&region
				->userfault_bitmap[bit / WORD_BITS];
		uint64_t at = bit % WORD_BITS;
		uint64_t n = min_u64(count, WORD_BITS - at);
		unsigned long mask = (n == WORD_BITS ? ~0UL : (1UL << n) - 1)
				     << at;

		if (set)
			atomic_fetch_or_explicit(word, mask,
						 memory_order_relaxed);
		else
			atomic_fetch_and_explicit(word, ~mask,
						  memory_order_release);
		bit += n;
		count -= n;
	}
}

/* Changes bits of pages of RAM, which may lie in two regions. */
static void change(const struct memory *memory, uint64_t page, uint64_t count,
		   bool set)
{
	while (count) {
		const struct memory_region *region =
			memory_region_of_page(memory, page);
		uint64_t at = page - region->offset_bytes / PAGE_BYTES;
		uint64_t n =
			min_u64(count, region->size_bytes / PAGE_BYTES - at);

		if (!region->userfault_bitmap)
			return;
		change_bits(region, at / memory->granule_pages,
			    n / memory->granule_pages, set);
		page += n;
		count -= n;
	}
}

void bitmap_set(const struct memory *memory, uint64_t page, uint64_t count)
{
	change(memory, page, count, true);
}

void bitmap_clear(const struct memory *memory, uint64_t page, uint64_t count)
{
	change(memory, page, count, false);
}

int bitmap_retire(struct memory *memory)
{
	for (unsigned int i = 0; i < memory->region_count; i++) {
		struct memory_region *region = &memory->regions[i];
		int r;

		r = memory_change_slot(memory, region, 0, KVM_MEM_USERFAULT);
		if (r < 0)
			return r;
	}
	return 0;
}
