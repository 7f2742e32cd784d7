/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The background thread: fills the working set, with helpers, and then, at a limited
 * rate, all other pages (prefault); retires the gates once all pages are present.
 */
#include <errno.h>
#include <time.h>

#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/base/thread.h"
#include "vmm/pager/private.h"

/* Back-off while a thread is blocked on a page: doubled from first to last. */
#define YIELD_FIRST_NS (UINT64_C(50) * 1000)
#define YIELD_LAST_NS  (UINT64_C(100) * 1000 * 1000)

/* Threads that fill the working set. */
#define WORKINGSET_THREADS 4

/*
 * Before each fill: waits while there is demand, and as long as the @spent bytes
 * since @start_ns exceed the rate.
 */
static void yield_to_demand(struct pager *pager, uint64_t start_ns,
			    uint64_t spent)
{
	uint64_t rate = pager->config.prefault_bytes_s;
	uint64_t wait_ns = YIELD_FIRST_NS;

	while (pager_has_demand(pager) && !pager_is_cancelled(pager)) {
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

/* The working set, and under the pager's lock its next page. */
struct workingset {
	struct pager_crew crew;
	size_t next;
};

/* Takes pages that follow each other, at most FILL_AHEAD_PAGES; false: none left. */
static bool take(struct pager_crew *crew, struct page_run *run)
{
	struct workingset *ws = container_of(crew, struct workingset, crew);
	const struct pager_config *config = &crew->pager->config;
	const uint64_t *pages = config->workingset + ws->next;
	size_t left = config->workingset_count - ws->next, n = 1;

	if (!left)
		return false;
	while (n < min_u64(left, FILL_AHEAD_PAGES) && pages[n] == pages[0] + n)
		n++;
	*run = (struct page_run){ pages[0], n };
	ws->next += n;
	return true;
}

/* Fills a part.  It is a hint: pages outside RAM are skipped. */
static int fill_part(struct pager *pager, const struct page_run *part)
{
	uint64_t end = min_u64(part->first + part->count, pager->pages.count);
	int r = 0;

	for (uint64_t page = part->first; r == 0 && page < end; page++) {
		struct pager_need need = { .cause = PAGER_CAUSE_BACKGROUND,
					   .vcpu = -1,
					   .ahead = (uint32_t)(end - page) };

		if (pager_is_cancelled(pager))
			return -ECANCELED;
		if (!pages_is_present(&pager->pages, page))
			r = pager_fill(pager, page, &need);
	}
	return r;
}

static void fill_workingset(struct pager *pager)
{
	struct workingset ws = { .crew = { .pager = pager,
					   .name = "workingset",
					   .take = take,
					   .fill = fill_part } };

	pager_crew_run(&ws.crew, pager->config.workingset_count,
		       WORKINGSET_THREADS);
}

/* Fills everything; ends at the first failure, which demand will report. */
static void prefault(struct pager *pager)
{
	uint64_t start = clock_now_ns(), spent = 0;

	for (size_t i = 0; i < pager->source->run_count; i++)
		if (fill_run(pager, &pager->source->runs[i], start, &spent) < 0)
			return;
}

/* Removes the gates; all pages are present. */
static void retire(struct pager *pager)
{
	uint64_t now = clock_now_ns();

	if (pager->uffd.fd >= 0)
		uffd_gate_retire(&pager->uffd);
	large_collapse(pager);
	bitmap_retire(pager->memory);
	atomic_store_explicit(&pager->lanes[0].counters.done_ns,
			      now - pager->start_ns, memory_order_relaxed);
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
