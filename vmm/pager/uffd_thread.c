/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The userfaultfd threads: one reads fault events, fills the page, and wakes the
 * threads that are blocked on it.
 *
 * It is the leader.  The others wait for a timer that it sets before each fill:
 * when a fill takes longer than PATIENCE_NS, one of them becomes the leader and
 * reads the next event, so that a slow source, or a page that is unavailable,
 * delays no other page.  After a slow fill the leader gives way at once.  As long
 * as the source is fast there is one thread that works, and no wake-up between
 * threads.
 *
 * They never touch guest memory that may be absent: they read into a buffer, or
 * through a mapping without userfaultfd.
 *
 * After cancellation they still serve faults on present pages (zeros between two
 * runs of the source), until wake_fd becomes readable.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/pager/private.h"

/* A fill that takes longer is slow: other events are not to wait for it. */
#define PATIENCE_NS (UINT64_C(200) * 1000)

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

	if (!atomic_exchange(&pager->map_limit_reported, true))
		log_warn("vm.max_map_count reached: populating guest memory in "
			 "larger blocks");
	uffd_gate_give_spare(&pager->uffd);
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
	uffd_gate_take_spare(&pager->uffd);
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

	/* One at a time, as each needs mappings before it frees some. */
	pthread_mutex_lock(&pager->uffd_readers.guard_lock);
	keep_present(pager, page, &range);
	r = uffd_gate_open_guard(&pager->uffd, range.first, range.count);
	if (r == -ENOMEM)
		r = open_larger(pager, page);
	pthread_mutex_unlock(&pager->uffd_readers.guard_lock);
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

static void add_thread(struct pager *pager);

/* Has the others wait for so long until one of them takes over. */
static void set_timer(const struct uffd_readers *readers, uint64_t ns)
{
	const struct itimerspec timer = { .it_value = clock_timespec(ns) };

	/* It cannot fail: descriptor and time are valid. */
	timerfd_settime(readers->timer_fd, 0, &timer, NULL);
}

/* Serves an event; the others can take over meanwhile. */
static void serve_as_leader(struct uffd_reader *reader, uint64_t page)
{
	struct uffd_readers *readers = &reader->pager->uffd_readers;
	uint64_t start_ns = clock_now_ns();

	atomic_fetch_add(&readers->busy, 1);
	atomic_store(&reader->serves, true);
	set_timer(readers, atomic_load(&readers->slow) ? 1 : PATIENCE_NS);
	serve(reader->pager, page);
	atomic_store(&reader->serves, false);
	atomic_fetch_sub(&readers->busy, 1);
	atomic_store(&readers->slow, clock_now_ns() - start_ns > PATIENCE_NS);
}

/*
 * Takes over from a leader whose fill is slow, and starts the thread that will
 * take over next, if none is left.  One timer makes one new leader; a timer that
 * expires after its fill has ended makes none.
 */
static void take_over(struct uffd_reader *reader)
{
	struct pager *pager = reader->pager;
	struct uffd_readers *readers = &pager->uffd_readers;
	uint64_t expirations;

	if (read(readers->timer_fd, &expirations, sizeof(expirations)) < 0 ||
	    !atomic_load(&readers->all[atomic_load(&readers->leader)].serves))
		return;
	atomic_store(&readers->leader, reader->number);
	/* A stack is a mapping, and guards may need the last one. */
	if (!pager->uffd.guards &&
	    atomic_load(&readers->count) <= atomic_load(&readers->busy) + 1)
		add_thread(pager);
}

static bool is_leader(const struct uffd_reader *reader)
{
	return atomic_load(&reader->pager->uffd_readers.leader) ==
	       reader->number;
}

static void *reader_main(void *arg)
{
	struct uffd_reader *reader = arg;
	struct pager *pager = reader->pager;
	struct pollfd fds[] = {
		{ .events = POLLIN },
		{ .fd = pager->wake_fd, .events = POLLIN },
	};

	while (!(fds[1].revents & POLLIN)) {
		bool leads = is_leader(reader);
		uint64_t page;

		fds[0].fd =
			leads ? pager->uffd.fd : pager->uffd_readers.timer_fd;
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (!leads && (fds[0].revents & POLLIN))
			take_over(reader);
		while (is_leader(reader) && uffd_gate_next(&pager->uffd, &page))
			serve_as_leader(reader, page);
	}
	return NULL;
}

/* Starts one more thread, if there may be more. */
static void add_thread(struct pager *pager)
{
	struct uffd_readers *readers = &pager->uffd_readers;
	unsigned int n;

	pthread_mutex_lock(&pager->lock);
	n = atomic_load(&readers->count);
	if (n < UFFD_READERS_MAX && !pager_is_cancelled(pager)) {
		struct uffd_reader *reader = &readers->all[n];

		reader->pager = pager;
		reader->number = n;
		if (pager_thread_start(&reader->thread, "uffd", reader_main,
				       reader) == 0)
			atomic_store(&readers->count, n + 1);
	}
	pthread_mutex_unlock(&pager->lock);
}

int uffd_threads_start(struct pager *pager)
{
	struct uffd_readers *readers = &pager->uffd_readers;

	readers->timer_fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (readers->timer_fd < 0)
		return log_errno(errno, "userfaultfd: timer");
	/* The leader, and one that takes over. */
	add_thread(pager);
	add_thread(pager);
	return atomic_load(&readers->count) ? 0 : -EAGAIN;
}

void uffd_threads_stop(struct pager *pager)
{
	struct uffd_readers *readers = &pager->uffd_readers;
	uint64_t one = 1;

	if (!atomic_load(&readers->count))
		return;
	/* It fails only when the counter is full, which wakes as well. */
	if (write(pager->wake_fd, &one, sizeof(one)) < 0)
		log_debug("userfaultfd: the counter is full");
	/* A thread that is not joined yet may start one more. */
	for (unsigned int i = 0; i < atomic_load(&readers->count); i++)
		pager_thread_join(&readers->all[i].thread);
}

void uffd_threads_finish(struct pager *pager)
{
	if (pager->uffd_readers.timer_fd >= 0)
		close(pager->uffd_readers.timer_fd);
}
