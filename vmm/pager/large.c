/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Large pages, 2 MiB of anonymous memory, where the source has contents for all
 * of one.  All is advice to the kernel.
 */
#include <errno.h>
#include <sys/mman.h>

#include "vmm/base/clock.h"
#include "vmm/pager/private.h"

#define LARGE_PAGE_BYTES (UINT64_C(2) * MIB)

/* The longest rest between two. */
#define REST_NS (UINT64_C(10) * 1000 * 1000)

/* Each advice may split a host mapping, of which a process has 65530. */
#define ADVISED_MAX 4096

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* since Linux 6.1 */
#endif

/* Whole large pages at a host address. */
struct large {
	uint8_t *hva;
	uint64_t bytes; /* 0: none */
};

/* Those that a run of the source covers, in its first region. */
static struct large large_of(const struct pager *pager,
			     const struct page_run *run)
{
	const struct memory_region *region =
		memory_region_of_page(pager->memory, run->first);
	uintptr_t base = (uintptr_t)region->hva - region->offset_bytes;
	uintptr_t from =
		align_up(base + run->first * PAGE_BYTES, LARGE_PAGE_BYTES);
	uint64_t last = min_u64((run->first + run->count) * PAGE_BYTES,
				region->offset_bytes + region->size_bytes);
	uintptr_t end = align_down(base + last, LARGE_PAGE_BYTES);

	return (struct large){ (uint8_t *)from, from < end ? end - from : 0 };
}

/* Whether large pages are wanted, and advice can give them. */
static bool is_wanted(const struct pager *pager)
{
	return pager->memory->backing == MEMORY_ANON &&
	       (pager->memory->huge.kind == MEMORY_HUGE_AUTO ||
		pager->memory->huge.kind == MEMORY_HUGE_ALWAYS);
}

void large_advise(struct pager *pager)
{
	unsigned int advised = 0;

	for (size_t i = 0; is_wanted(pager) && advised < ADVISED_MAX &&
			   i < pager->source->run_count;
	     i++) {
		struct large large = large_of(pager, &pager->source->runs[i]);

		if (!large.bytes)
			continue;
		madvise(large.hva, large.bytes, MADV_HUGEPAGE);
		advised++;
	}
}

/*
 * Collapses one, then rests for as long as that took: a large guest has thousands,
 * each copied under locks that its vCPUs' faults need as well.
 */
static void collapse(struct pager *pager, uint8_t *hva)
{
	uint64_t since_ns = clock_now_ns(), now_ns;

	/* Nothing was done: the kernel does not have this. */
	if (madvise(hva, LARGE_PAGE_BYTES, MADV_COLLAPSE) < 0 &&
	    errno == EINVAL)
		return;
	now_ns = clock_now_ns();
	/* The time may be that of a process that was stopped. */
	pager_sleep_until(pager, now_ns + min_u64(now_ns - since_ns, REST_NS));
}

void large_collapse(struct pager *pager)
{
	for (size_t i = 0; is_wanted(pager) && i < pager->source->run_count;
	     i++) {
		struct large large = large_of(pager, &pager->source->runs[i]);

		for (uint64_t at = 0;
		     at < large.bytes && !pager_is_cancelled(pager);
		     at += LARGE_PAGE_BYTES)
			collapse(pager, large.hva + at);
	}
}
