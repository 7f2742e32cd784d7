/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What happens when a source fails or does not answer: how long a page is
 * retried, what is reported, and whether the machine ends or waits.
 *
 * Any thread that fills, and the watch.  Nothing here is under a lock.
 */
#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/pager/private.h"

#define RETRY_FIRST_NS (UINT64_C(1) * 1000 * 1000)
#define RETRY_LAST_NS  (UINT64_C(200) * 1000 * 1000)

/* The address of a page in the guest, for messages. */
static unsigned long long page_gpa(const struct pager *pager, uint64_t page)
{
	const struct memory_region *region =
		memory_region_of_page(pager->memory, page);

	return region->gpa + (page * PAGE_BYTES - region->offset_bytes);
}

/* Where a page comes from, for messages. */
static const char *describe(const struct pager *pager, uint64_t page)
{
	return pager->source->ops->describe(pager->source, page);
}

/* Whether a failure ends the machine: before the start nothing can wait. */
static bool stops(const struct pager *pager)
{
	return pager->config.on_error == PAGER_STOP ||
	       !atomic_load(&pager->started);
}

/*
 * Whether a failure is reported.  What follows the first that ends the machine
 * is not: others find the same until it has ended.
 */
static bool claim_failure_report(struct pager *pager, bool stop)
{
	return !stop || !atomic_exchange(&pager->stopping, true);
}

/* Has the machine end or wait. */
static void pass_on(struct pager *pager, bool stop)
{
	if (pager->config.failed)
		pager->config.failed(pager->config.ctx,
				     stop ? PAGER_STOP : PAGER_PAUSE);
}

/* Sleeps between two tries; a signal ends it early, and that is fine. */
static void back_off(uint64_t ns)
{
	const struct timespec t = clock_timespec(ns);

	nanosleep(&t, NULL);
}

/* Whether to read a page again, which has just failed; waits before. */
bool policy_retries(struct pager *pager, struct policy_retry *retry,
		    uint64_t page, int err)
{
	uint64_t spent = clock_now_ns() - retry->start_ns;

	if (err == ECANCELED || err == EBADMSG ||
	    spent >= pager->config.deadline_ns)
		return false;
	if (err == EINTR)
		return true;
	if (!retry->wait_ns && retry->demand && !atomic_load(&pager->stopping))
		log_guest(&pager->retry_log,
			  "guest memory at 0x%llx: %s (%s) cannot be read: %s; "
			  "retrying for %.1f s",
			  page_gpa(pager, page), describe(pager, page),
			  pager->source->ops->name, strerror(err),
			  (double)(pager->config.deadline_ns - spent) / 1e9);
	count_add(&pager->counters.retries, 1);
	retry->wait_ns = retry->wait_ns ?
				 min_u64(2 * retry->wait_ns, RETRY_LAST_NS) :
				 RETRY_FIRST_NS;
	back_off(retry->wait_ns);
	return true;
}

/* Reports that a page is unavailable, and does what the policy says. */
int policy_fail(struct pager *pager, uint64_t page, int err)
{
	bool stop = stops(pager);
	const char *outcome =
		stop ? "; the guest stops" : "; the guest waits for \"retry\"";

	count_add(&pager->counters.failures, 1);
	if (!claim_failure_report(pager, stop))
		;
	else if (err == EBADMSG)
		log_error("guest memory at 0x%llx: %s (%s) is damaged%s",
			  page_gpa(pager, page), describe(pager, page),
			  pager->source->ops->name, outcome);
	else
		log_errno(err,
			  "guest memory at 0x%llx: %s (%s) cannot be read%s",
			  page_gpa(pager, page), describe(pager, page),
			  pager->source->ops->name, outcome);
	pass_on(pager, stop);
	return stop ? -EIO : -EAGAIN;
}

/* Reports that a source does not answer, and does what the policy says. */
void policy_overdue(struct pager *pager, uint64_t page, uint64_t for_ns,
		    bool waited_for)
{
	bool stop = waited_for && stops(pager);
	const char *outcome = !waited_for ? "no thread waits for it yet" :
			      stop	  ? "the guest stops" :
					    "the guest waits for it";

	if (waited_for)
		count_add(&pager->counters.failures, 1);
	if (claim_failure_report(pager, stop))
		log_error("guest memory at 0x%llx: %s (%s) does not answer for "
			  "%.1f s; %s",
			  page_gpa(pager, page), describe(pager, page),
			  pager->source->ops->name, (double)for_ns / 1e9,
			  outcome);
	if (!waited_for)
		return;
	pass_on(pager, stop);
	if (!atomic_load(&pager->started))
		pager_cancel(pager);
}

/* Waits until pager_retry(), from the number @seen on. */
int policy_wait(struct pager *pager, uint32_t seen)
{
	int r = 0;

	atomic_fetch_add(&pager->waiters, 1);
	while (r == 0 && !pager_is_cancelled(pager) &&
	       atomic_load(&pager->retry) == seen) {
		if (syscall(SYS_futex, (void *)&pager->retry,
			    FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0) < 0 &&
		    errno == EINTR)
			r = -EINTR;
	}
	atomic_fetch_sub(&pager->waiters, 1);
	return r;
}
