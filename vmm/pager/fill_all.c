/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filling all pages before the guest runs, by as many threads as there are
 * processors.  Each takes the next piece of the source until none is left.
 */
#include <errno.h>
#include <limits.h>

#include "vmm/pager/private.h"

/* A piece: what one read may have, so that threads do not meet in a block. */
#define PIECE_PAGES PAGER_RUN_PAGES_MAX

struct fill_all {
	struct pager_crew crew;
	/* Under the pager's lock: the next page, of a run of the source. */
	size_t run;
	uint64_t page;
};

/* Takes the next piece; false: nothing is left, or a thread has failed. */
static bool take(struct pager_crew *crew, struct page_run *piece)
{
	struct fill_all *all = container_of(crew, struct fill_all, crew);
	const struct page_source *source = crew->pager->source;
	const struct page_run *run = &source->runs[all->run];
	uint64_t first;

	if (crew->failed || all->run == source->run_count)
		return false;
	first = max_u64(all->page, run->first);
	piece->first = first;
	piece->count = min_u64(align_down(first, PIECE_PAGES) + PIECE_PAGES,
			       run->first + run->count) -
		       first;
	all->page = first + piece->count;
	if (all->page == run->first + run->count)
		all->run++;
	return true;
}

static int fill(struct pager *pager, const struct page_run *piece)
{
	return pager_fill_range(pager, piece->first, piece->count,
				PAGER_CAUSE_DEVICE);
}

int pager_fill_all(struct pager *pager)
{
	struct fill_all all = { .crew = { .pager = pager,
					  .name = "fill",
					  .take = take,
					  .fill = fill } };

	large_advise(pager);
	pager_crew_run(&all.crew, pager->source_pages, UINT_MAX);
	return all.crew.failed ? -EIO : 0;
}
