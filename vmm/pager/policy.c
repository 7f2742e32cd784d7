/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Failure policy: how long a failed read is retried, what is reported, and
 * whether the VM ends or the thread waits for a retry.
 *
 * Runs on the threads that fill, and on the watch thread; no lock.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/pager/private.h"

#define RETRY_FIRST_NS (UINT64_C(1) * 1000 * 1000)
#define RETRY_LAST_NS  (UINT64_C(200) * 1000 * 1000)

/* The address of a page in the guest, for messages. */
static unsigned long long page_gpa(const struct pager *pager, uint64_t page)
{
	return memory_page_gpa(pager->memory, page);
}

/* The source's name for where a page comes from, for messages. */
static const char *describe(const struct pager *pager, uint64_t page)
{
	return pager->source->ops->describe(pager->source, page);
}

/* The element of pager->suspects for the block of @page. */
static _Atomic uint64_t *suspect_of(struct pager *pager, uint64_t page)
{
	return &pager->suspects[page / POLICY_BLOCK_PAGES % SUSPECTS];
}

bool policy_is_suspect(struct pager *pager, uint64_t page)
{
	return atomic_load(suspect_of(pager, page)) ==
	       page / POLICY_BLOCK_PAGES + 1;
}

void policy_mark_suspect(struct pager *pager, uint64_t first, uint64_t end)
{
	uint64_t page = align_down(first, POLICY_BLOCK_PAGES);

	for (; page < end; page += POLICY_BLOCK_PAGES)
		atomic_store(suspect_of(pager, page),
			     page / POLICY_BLOCK_PAGES + 1);
}

/* Whether a failure ends the VM: before the start nothing can wait. */
static bool stops(const struct pager *pager)
{
	return pager->config.on_error == PAGER_STOP ||
	       !atomic_load(&pager->started);
}

/*
 * Whether the caller is to report a failure.  Only the first that ends the VM is
 * reported: other threads hit the same one until it has ended.
 */
static bool claim_failure_report(struct pager *pager, bool stop)
{
	return !stop || !atomic_exchange(&pager->stopping, true);
}

/* Reports to the VM that it must end, or that a thread waits for a retry. */
static void notify_owner(struct pager *pager, bool stop)
{
	if (pager->config.failed)
		pager->config.failed(pager->config.ctx,
				     stop ? PAGER_STOP : PAGER_PAUSE);
}

/* Sleeps between two reads; a signal ends the sleep early, which is fine. */
static void back_off(uint64_t ns)
{
	const struct timespec t = clock_timespec(ns);

	nanosleep(&t, NULL);
}

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
			  "guest memory at 0x%llx: read %s (%s): %s; "
			  "retrying for %.1f s",
			  page_gpa(pager, page), describe(pager, page),
			  pager->source->ops->name, strerror(err),
			  (double)(pager->config.deadline_ns - spent) / 1e9);
	count_add(&pager->lanes[0].counters.retries, 1);
	retry->wait_ns = retry->wait_ns ?
				 min_u64(2 * retry->wait_ns, RETRY_LAST_NS) :
				 RETRY_FIRST_NS;
	back_off(retry->wait_ns);
	return true;
}

/* Logs that a page is unavailable, and why. */
static void report_failure(const struct pager *pager, uint64_t page, int err,
			   bool stop)
{
	const char *outcome =
		stop ? "the guest stops" :
		       "the guest waits until `thaw ctl SOCKET retry`";

	if (err == EBADMSG)
		log_error(
			"guest memory at 0x%llx: %s (%s): page is corrupt; %s",
			page_gpa(pager, page), describe(pager, page),
			pager->source->ops->name, outcome);
	else
		log_error("guest memory at 0x%llx: read %s (%s): %s; %s",
			  page_gpa(pager, page), describe(pager, page),
			  pager->source->ops->name, strerror(err), outcome);
}

/* The entry of a page in the table of those that are unavailable. */
static _Atomic uint64_t *unavailable_entry(struct pager *pager, uint64_t page)
{
	return &pager->unavailable[page / pager->memory->granule_pages %
				   UNAVAILABLE];
}

/* What it has until the next pager_retry(), for all of a granule; never 0. */
static uint64_t unavailable_value(const struct pager *pager, uint64_t page,
				  uint32_t seen)
{
	uint64_t granule = page / pager->memory->granule_pages;

	return (granule + 1) << 24 | (seen & 0xffffff);
}

int policy_fail(struct pager *pager, uint64_t page, int err, uint32_t seen)
{
	bool stop = stops(pager);

	count_add(&pager->lanes[0].counters.failures, 1);
	if (claim_failure_report(pager, stop))
		report_failure(pager, page, err, stop);
	notify_owner(pager, stop);
	return stop ? -EIO : policy_wait(pager, seen);
}

void policy_mark_unavailable(struct pager *pager, uint64_t page, uint32_t seen)
{
	if (!stops(pager))
		atomic_store(unavailable_entry(pager, page),
			     unavailable_value(pager, page, seen));
}

bool policy_is_unavailable(struct pager *pager, uint64_t page, uint32_t seen)
{
	return atomic_load(unavailable_entry(pager, page)) ==
	       unavailable_value(pager, page, seen);
}

int policy_wait(struct pager *pager, uint32_t seen)
{
	return pager_wait_retry(pager, seen) < 0 ? -EINTR : -EAGAIN;
}

void policy_overdue(struct pager *pager, uint64_t page, uint64_t for_ns,
		    bool waited_for)
{
	bool stop = waited_for && stops(pager);
	const char *outcome = !waited_for ? "no thread needs it yet" :
			      stop	  ? "the guest stops" :
					    "the guest waits";

	if (waited_for)
		count_add(&pager->lanes[0].counters.failures, 1);
	if (claim_failure_report(pager, stop))
		log_error("guest memory at 0x%llx: read %s (%s): not completed "
			  "after %.1f s; %s",
			  page_gpa(pager, page), describe(pager, page),
			  pager->source->ops->name, (double)for_ns / 1e9,
			  outcome);
	if (!waited_for)
		return;
	notify_owner(pager, stop);
	if (!atomic_load(&pager->started))
		pager_cancel(pager);
}
