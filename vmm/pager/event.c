/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The events that the pager's threads sleep for: cancellation, the last page,
 * a request of the fill worker (all signalled by pager->changed, under the
 * lock), and the retry of unavailable pages (a futex).
 */
#include "vmm/base/clock.h"
#include "vmm/base/futex.h"
#include "vmm/pager/private.h"

void pager_notify(struct pager *pager)
{
	pthread_mutex_lock(&pager->lock);
	pthread_cond_broadcast(&pager->changed);
	pthread_mutex_unlock(&pager->lock);
}

void pager_wait_until(struct pager *pager, uint64_t until_ns)
{
	const struct timespec until = clock_timespec(until_ns);

	pthread_cond_timedwait(&pager->changed, &pager->lock, &until);
}

void pager_sleep_until(struct pager *pager, uint64_t until_ns)
{
	pthread_mutex_lock(&pager->lock);
	while (!pager_is_cancelled(pager) && clock_now_ns() < until_ns)
		pager_wait_until(pager, until_ns);
	pthread_mutex_unlock(&pager->lock);
}

void pager_wait_complete(struct pager *pager)
{
	pthread_mutex_lock(&pager->lock);
	while (!pager_is_cancelled(pager) && !pages_are_complete(&pager->pages))
		pthread_cond_wait(&pager->changed, &pager->lock);
	pthread_mutex_unlock(&pager->lock);
}

void pager_retry(struct pager *pager)
{
	atomic_fetch_add(&pager->retry, 1);
	futex_wake_all(&pager->retry);
}

int pager_wait_retry(struct pager *pager, uint32_t seen)
{
	int r = 0;

	atomic_fetch_add(&pager->waiters, 1);
	while (r == 0 && !pager_is_cancelled(pager) &&
	       atomic_load(&pager->retry) == seen)
		r = futex_wait(&pager->retry, seen);
	atomic_fetch_sub(&pager->waiters, 1);
	return r;
}

void pager_cancel(struct pager *pager)
{
	atomic_store(&pager->cancelled, true);
	if (pager->source->ops->cancel)
		pager->source->ops->cancel(pager->source);
	pages_wake_all(&pager->pages);
	pager_retry(pager);
	/* The watch then kicks the threads that are in a read. */
	pager_notify(pager);
}
