/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filling pages for somebody who can do without them: a snapshot.
 *
 * A source may not answer, and then who asked must not stand still, for it is
 * the control side, which alone can say what happens next.  So a thread of its
 * own does the filling, made when it is first needed, and who asked waits for as
 * long as it gets on.  A thread that hangs stays with its page until the source
 * answers or the pager ends; meanwhile nobody else can try.
 */
#include <errno.h>

#include "vmm/base/clock.h"
#include "vmm/pager/private.h"

/* Fills what was asked for, page after page; the lock is held between them. */
static void fill_asked(struct pager *pager)
{
	struct fill_worker *worker = &pager->worker;

	worker->result = 0;
	while (worker->result == 0 && worker->page < worker->end) {
		struct pager_need need = { .cause = PAGER_CAUSE_BACKGROUND,
					   .vcpu = -1 };
		uint64_t page = worker->page;
		int r = 0;

		pthread_mutex_unlock(&pager->lock);
		if (!pages_is_present(&pager->pages, page))
			r = pager_fill(pager, page, &need);
		pthread_mutex_lock(&pager->lock);
		worker->result = r;
		worker->page++;
	}
}

/* The thread. */
static void *worker_main(void *arg)
{
	struct pager *pager = arg;
	struct fill_worker *worker = &pager->worker;

	pthread_mutex_lock(&pager->lock);
	while (!pager_is_cancelled(pager)) {
		if (worker->busy) {
			fill_asked(pager);
			worker->busy = false;
			pthread_cond_broadcast(&pager->changed);
		} else {
			pthread_cond_wait(&pager->changed, &pager->lock);
		}
	}
	pthread_mutex_unlock(&pager->lock);
	return NULL;
}

/*
 * Waits until the thread is done, the pager ends, or a page takes longer than
 * it may; the lock is held.
 */
static int wait_for_thread(struct pager *pager)
{
	struct fill_worker *worker = &pager->worker;
	/* The watch speaks first. */
	uint64_t limit = pager->config.deadline_ns + NS_PER_S;
	uint64_t page = worker->page, until = clock_now_ns() + limit;

	while (worker->busy && !pager_is_cancelled(pager) &&
	       clock_now_ns() < until) {
		pager_wait_until(pager, until);
		if (worker->page != page) {
			page = worker->page;
			until = clock_now_ns() + limit;
		}
	}
	if (pager_is_cancelled(pager))
		return -ECANCELED;
	return worker->busy ? -ETIMEDOUT : worker->result;
}

/* Has the thread fill [first, end). */
static int ask(struct pager *pager, uint64_t first, uint64_t end)
{
	struct fill_worker *worker = &pager->worker;
	int r = 0;

	pthread_mutex_lock(&pager->lock);
	if (pager_is_cancelled(pager))
		r = -ECANCELED;
	else if (worker->busy)
		r = -ETIMEDOUT;
	else if (!worker->thread.runs)
		r = pager_thread_start(pager, &worker->thread, "fill-worker",
				       worker_main);
	if (r == 0) {
		worker->page = first;
		worker->end = end;
		worker->busy = true;
		pthread_cond_broadcast(&pager->changed);
		r = wait_for_thread(pager);
	}
	pthread_mutex_unlock(&pager->lock);
	return r;
}

/* Fills pages that nobody needs now. */
int pager_try_fill(struct pager *pager, uint64_t first, uint64_t count)
{
	uint64_t end = first + count;

	while (first < end && pages_is_present(&pager->pages, first))
		first++;
	return first < end ? ask(pager, first, end) : 0;
}
