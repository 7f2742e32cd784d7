/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filling pages for a snapshot, by a worker thread.
 *
 * The caller is the control thread, which must not block on a source that does
 * not answer.  So a worker, started on first use, fills the pages, and the
 * caller waits as long as there is progress.  A worker that hangs stays busy
 * until the source answers or the pager ends; requests fail meanwhile.
 *
 * The request is under the pager's lock, which is not held during a fill.
 */
#include <errno.h>

#include "vmm/base/clock.h"
#include "vmm/pager/private.h"

/* Fills the pages of the request.  The lock is held on entry and return. */
static void fill_request(struct pager *pager)
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

static void *worker_main(void *arg)
{
	struct pager *pager = arg;
	struct fill_worker *worker = &pager->worker;

	pthread_mutex_lock(&pager->lock);
	while (!pager_is_cancelled(pager)) {
		if (worker->busy) {
			fill_request(pager);
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
 * Waits until the request is done, the pager is cancelled, or a page exceeds its
 * time.  The lock is held.
 */
static int wait_for_worker(struct pager *pager)
{
	struct fill_worker *worker = &pager->worker;
	/* Longer than the watch takes to report the read. */
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

/* Has the worker fill [first, end). */
static int request(struct pager *pager, uint64_t first, uint64_t end)
{
	struct fill_worker *worker = &pager->worker;
	int r = 0;

	pthread_mutex_lock(&pager->lock);
	if (pager_is_cancelled(pager))
		r = -ECANCELED;
	else if (worker->busy)
		r = -ETIMEDOUT;
	else if (!worker->thread.runs)
		r = pager_thread_start(&worker->thread, "fill-worker",
				       worker_main, pager);
	if (r == 0) {
		worker->page = first;
		worker->end = end;
		worker->busy = true;
		pthread_cond_broadcast(&pager->changed);
		r = wait_for_worker(pager);
	}
	pthread_mutex_unlock(&pager->lock);
	return r;
}

int pager_try_fill(struct pager *pager, uint64_t first, uint64_t count)
{
	uint64_t end = first + count;

	while (first < end && pages_is_present(&pager->pages, first))
		first++;
	return first < end ? request(pager, first, end) : 0;
}
