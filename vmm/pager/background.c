/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The background thread: fills the working set and, at a limited rate, all other
 * pages (prefault); retires the gates once all pages are present.
 */
#include <errno.h>
#include <sys/mman.h>
#include <time.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/base/thread.h"
#include "vmm/pager/private.h"

#define LARGE_PAGE_BYTES (UINT64_C(2) * MIB)

/* Back-off while a thread is blocked on a page: doubled from first to last. */
#define YIELD_FIRST_NS (UINT64_C(50) * 1000)
#define YIELD_LAST_NS  (UINT64_C(100) * 1000 * 1000)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* since Linux 6.1 */
#endif

/*
 * Before each fill: waits while there is demand, and as long as the @spent bytes
 * since @start_ns exceed the rate.
 */
static void yield_to_demand(struct pager *pager, uint64_t start_ns,
			    uint64_t spent)
{
	uint64_t rate = pager->config.prefault_bytes_s;
	uint64_t wait_ns = YIELD_FIRST_NS;

	while (atomic_load(&pager->demand) && !pager_is_cancelled(pager)) {
		pager_sleep_until(pager, clock_now_ns() + wait_ns);
		wait_ns = min_u64(2 * wait_ns, YIELD_LAST_NS);
	}
	if (rate != UINT64_MAX)
		pager_sleep_until(pager,
				  start_ns + (uint64_t)((double)spent * 1e9 /
							(double)rate));
}

/* Fills one run of the source, and adds its bytes to *@spent. */
static int fill_run(struct pager *pager, const struct page_run *run,
		    uint64_t start_ns, uint64_t *spent)
{
	for (uint64_t n = 0; n < run->count; n++) {
		struct pager_need need = { .cause = PAGER_CAUSE_BACKGROUND,
					   .vcpu = -1 };
		int r;

		if (pager_is_cancelled(pager))
			return -ECANCELED;
		if (pages_is_present(&pager->pages, run->first + n))
			continue;
		yield_to_demand(pager, start_ns, *spent);
		r = pager_fill(pager, run->first + n, &need);
		if (r < 0)
			return r;
		*spent += need.filled * PAGE_BYTES;
	}
	return 0;
}

/* Fills the working set.  It is a hint: pages outside RAM are skipped. */
static void fill_workingset(struct pager *pager)
{
	for (size_t i = 0; i < pager->config.workingset_count; i++) {
		uint64_t page = pager->config.workingset[i];
		struct pager_need need = { .cause = PAGER_CAUSE_BACKGROUND,
					   .vcpu = -1 };

		if (pager_is_cancelled(pager))
			return;
		if (page >= pager->pages.count ||
		    pages_is_present(&pager->pages, page))
			continue;
		if (pager_fill(pager, page, &need) < 0)
			return;
	}
}

/* Fills everything; ends at the first failure, which demand will report. */
static void prefault(struct pager *pager)
{
	uint64_t start = clock_now_ns(), spent = 0;

	for (size_t i = 0; i < pager->source->run_count; i++)
		if (fill_run(pager, &pager->source->runs[i], start, &spent) < 0)
			return;
}

/* Asks for large pages where runs of the source cover whole ones. */
static void collapse(struct pager *pager)
{
	for (size_t i = 0; i < pager->source->run_count; i++) {
		const struct page_run *run = &pager->source->runs[i];
		const struct memory_region *region =
			memory_region_of_page(pager->memory, run->first);
		uintptr_t base = (uintptr_t)region->hva - region->offset_bytes;
		uintptr_t from = align_up(base + run->first * PAGE_BYTES,
					  LARGE_PAGE_BYTES);
		uint64_t last =
			min_u64((run->first + run->count) * PAGE_BYTES,
				region->offset_bytes + region->size_bytes);
		uintptr_t end = align_down(base + last, LARGE_PAGE_BYTES);

		for (; from < end && !pager_is_cancelled(pager);
		     from += LARGE_PAGE_BYTES)
			madvise((void *)from, LARGE_PAGE_BYTES, MADV_COLLAPSE);
	}
}

/* Removes the gates; all pages are present. */
static void retire(struct pager *pager)
{
	uint64_t now = clock_now_ns();

	if (pager->uffd.fd >= 0)
		uffd_gate_retire(&pager->uffd);
	if (pager->memory->backing == MEMORY_ANON)
		collapse(pager);
	bitmap_retire(pager->memory);
	atomic_store_explicit(&pager->counters.done_ns, now - pager->start_ns,
			      memory_order_relaxed);
}

void *background_main(void *arg)
{
	struct pager *pager = arg;

	fill_workingset(pager);
	if (pager->config.prefault_bytes_s)
		prefault(pager);
	pager_wait_complete(pager);
	if (!pager_is_cancelled(pager))
		retire(pager);
	return NULL;
}
