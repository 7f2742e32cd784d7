/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The userfaultfd thread: reads who was stopped, fills the page by the one
 * path, and lets them go.
 *
 * It never touches guest memory itself: what it fills comes through a buffer of
 * its own, or through a mapping without userfaultfd.
 *
 * When the pager is cancelled it goes on for pages that are present: zeros that
 * lie between two runs of the source.  It ends when wake_fd says so.
 */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/pager/private.h"

/* Serves one event. */
static void serve(struct pager *pager, uint64_t page)
{
	struct pager_need need = { .cause = PAGER_CAUSE_UFFD, .vcpu = -1 };
	int r = 0;

	/* Who needs one that is present is let go to the last. */
	if (!pages_is_present(&pager->pages, page) ||
	    !atomic_load(&pager->cancelled))
		r = pager_fill(pager, page, &need);

	/* The loader goes on, and fails; the guest never runs. */
	if ((r == -EIO || r == -ECANCELED) && !atomic_load(&pager->started)) {
		need.filled = 0;
		r = 0;
	}
	/* UFFDIO_COPY has let go who waited for a page that it installed. */
	if (r == 0 && (!need.filled || pager->uffd.guards))
		r = uffd_gate_pass(&pager->uffd, page);
	if (r < 0 && r != -ECANCELED && r != -EIO)
		log_errno(-r, "userfaultfd: page %llu",
			  (unsigned long long)page);
}

/* The thread. */
static void *uffd_main(void *arg)
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

/* Starts it. */
int uffd_thread_start(struct pager *pager)
{
	int r = pager_thread_start(pager, &pager->uffd_thread,
				   &pager->uffd_runs, uffd_main);

	if (r == 0)
		pthread_setname_np(pager->uffd_thread, "uffd");
	return r;
}

/* Ends it. */
void uffd_thread_stop(struct pager *pager)
{
	uint64_t one = 1;

	if (!pager->uffd_runs)
		return;
	/* It fails only when the counter is full, which wakes as well. */
	if (write(pager->wake_fd, &one, sizeof(one)) < 0)
		log_debug("userfaultfd: the counter is full");
	pthread_join(pager->uffd_thread, NULL);
	pager->uffd_runs = false;
}
