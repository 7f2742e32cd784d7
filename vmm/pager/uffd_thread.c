/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The userfaultfd thread: reads fault events, fills the page, and wakes the
 * threads that are blocked on it.
 *
 * It never touches guest memory that may be absent: it reads into a buffer, or
 * through a mapping without userfaultfd.
 *
 * After cancellation it still serves faults on present pages (zeros between two
 * runs of the source), until wake_fd becomes readable.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/pager/private.h"

/* The largest part of a guard that one event opens. */
#define GUARD_BLOCK_PAGES 512

/* Narrows a range to the present pages around @page. */
static void keep_present(const struct pager *pager, uint64_t page,
			 struct uffd_range *range)
{
	uint32_t granule = pager->memory->granule_pages;
	uint64_t first = align_down(page, granule), end = first + granule;

	while (first > range->first &&
	       pages_is_present(&pager->pages, first - 1))
		first--;
	while (end < range->first + range->count &&
	       pages_is_present(&pager->pages, end))
		end++;
	range->first = first;
	range->count = end - first;
}

/*
 * Opens the guard around @page although the process has the maximum number of
 * mappings: populates and opens ever larger blocks, until one frees as many
 * mappings as it needs.  The whole range always does.
 */
static int open_larger(struct pager *pager, uint64_t page)
{
	uint64_t block = GUARD_BLOCK_PAGES, count = 0;
	int r = -ENOMEM;

	if (!pager->map_limit_reported)
		log_warn("vm.max_map_count reached: populating guest memory in "
			 "larger blocks");
	pager->map_limit_reported = true;
	for (; r == -ENOMEM; block *= 2) {
		struct uffd_range range =
			uffd_gate_block(&pager->uffd, page, block);

		/* It was the whole range already. */
		if (range.count == count)
			break;
		count = range.count;
		r = pager_fill_range(pager, range.first, range.count,
				     PAGER_CAUSE_BACKGROUND);
		if (r == 0)
			r = uffd_gate_open_guard(&pager->uffd, range.first,
						 range.count);
	}
	return r;
}

/*
 * Opens the guard of @page and of the present pages around it, so that the
 * mappings are as few as the runs of present pages and not as the accesses.
 */
static int open_guard(struct pager *pager, uint64_t page)
{
	struct uffd_range range =
		uffd_gate_block(&pager->uffd, page, GUARD_BLOCK_PAGES);
	int r;

	keep_present(pager, page, &range);
	r = uffd_gate_open_guard(&pager->uffd, range.first, range.count);
	if (r == -ENOMEM)
		r = open_larger(pager, page);
	/* The thread that touched the page stays blocked. */
	if (r < 0 && !pager_is_cancelled(pager)) {
		log_error("guest_memfd guard: %s; the guest stops",
			  strerror(-r));
		if (pager->config.failed)
			pager->config.failed(pager->config.ctx, PAGER_STOP);
		r = -EIO;
	}
	return r;
}

static void serve(struct pager *pager, uint64_t page)
{
	struct pager_need need = { .cause = PAGER_CAUSE_UFFD, .vcpu = -1 };
	int r = 0;

	/* A fault on a present page is served even after cancellation. */
	if (!pages_is_present(&pager->pages, page) ||
	    !pager_is_cancelled(pager))
		r = pager_fill(pager, page, &need);

	/* Before the start, wake the loader; it fails, and no guest runs. */
	if ((r == -EIO || r == -ECANCELED) && !atomic_load(&pager->started)) {
		need.filled = 0;
		r = 0;
	}
	/* UFFDIO_COPY has woken the threads that waited for what it installed. */
	if (r == 0 && pager->uffd.guards)
		r = open_guard(pager, page);
	else if (r == 0 && !need.filled)
		r = uffd_gate_pass(&pager->uffd, page);
	if (r < 0 && r != -ECANCELED && r != -EIO)
		log_errno(-r, "userfaultfd: page %llu",
			  (unsigned long long)page);
}

void *uffd_thread_main(void *arg)
{
	struct pager *pager = arg;
	struct pollfd fds[] = {
		{ .fd = pager->uffd.fd, .events = POLLIN },
		{ .fd = pager->wake_fd, .events = POLLIN },
	};

	while (!(fds[1].revents & POLLIN)) {
		uint64_t page;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		while (uffd_gate_next(&pager->uffd, &page))
			serve(pager, page);
	}
	return NULL;
}
