/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of fills in progress, and the watch thread, which reports reads that
 * exceed their deadline: a read that does not return cannot report itself.
 *
 * Once the pager is cancelled, the watch thread kicks the threads that still
 * read, repeatedly, as a kick just before the system call is lost.
 *
 * The table is made of atomics, written by the filling threads and polled by the
 * watch thread; they order nothing else.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/base/thread.h"
#include "vmm/pager/private.h"

/* The interval of kicks after cancellation. */
#define KICK_NS (UINT64_C(10) * 1000 * 1000)

#define BETWEEN_READS UINT64_MAX

/* How long to wait for a free slot; there are more slots than threads. */
#define SLOT_WAIT_NS (1000 * 1000)

/*
 * Takes the first free slot from number @from on, so that few buffers are ever
 * allocated, and a vCPU, which has a number of its own, has a slot of its own.
 */
static struct fill_slot *take_slot(struct pager *pager, unsigned int from,
				   uint64_t now)
{
	static const struct timespec wait = { .tv_nsec = SLOT_WAIT_NS };

	for (;;) {
		for (unsigned int i = 0; i < FILL_SLOTS; i++) {
			struct fill_slot *slot =
				&pager->fills[(from + i) % FILL_SLOTS];
			uint64_t none = 0;

			if (!atomic_load(&slot->since_ns) &&
			    atomic_compare_exchange_strong(&slot->since_ns,
							   &none, now))
				return slot;
		}
		nanosleep(&wait, NULL);
	}
}

struct fill_slot *watch_begin(struct pager *pager,
			      const struct pager_need *need,
			      enum fill_kind kind, uint64_t page,
			      uint64_t since_ns)
{
	struct fill_slot *slot = take_slot(pager, pager_lane(need), since_ns);

	atomic_store(&slot->wanted, page);
	watch_read(slot, page, 1, since_ns);
	atomic_store(&slot->kind, kind);
	atomic_store(&slot->thread, gettid());
	return slot;
}

/*
 * Each read has its own start time: a source that fails repeatedly does answer,
 * and is not overdue.
 */
void watch_read(struct fill_slot *slot, uint64_t first, uint32_t count,
		uint64_t now_ns)
{
	atomic_store(&slot->since_ns, now_ns);
	atomic_store(&slot->first, first);
	atomic_store(&slot->count, count);
}

/* Neither a back-off nor a log line that blocks is a read that hangs. */
void watch_answered(struct fill_slot *slot)
{
	atomic_store(&slot->since_ns, BETWEEN_READS);
}

void watch_end(struct fill_slot *slot)
{
	atomic_store(&slot->since_ns, 0);
}

/* Whether a blocked thread's fill was reported as overdue. */
static bool is_overdue(const struct fill_slot *slot)
{
	uint64_t since = atomic_load(&slot->since_ns);

	return since && atomic_load(&slot->reported_ns) == since &&
	       atomic_load(&slot->kind) != FILL_BACKGROUND;
}

bool watch_has_overdue(const struct pager *pager)
{
	bool overdue = false;

	for (unsigned int i = 0; i < FILL_SLOTS && !overdue; i++)
		overdue = is_overdue(&pager->fills[i]);
	return overdue;
}

/* Whether @page is being read on demand: that read is watched itself. */
static bool is_read_on_demand(const struct pager *pager, uint64_t page)
{
	for (unsigned int i = 0; i < FILL_SLOTS; i++) {
		const struct fill_slot *slot = &pager->fills[i];

		if (atomic_load(&slot->since_ns) &&
		    atomic_load(&slot->kind) == FILL_DEMAND &&
		    page - atomic_load(&slot->first) <
			    atomic_load(&slot->count))
			return true;
	}
	return false;
}

/*
 * Reports a fill that is overdue, once.  A background read is not a failure: a
 * thread that comes to need its page has a slot of its own.
 */
static void check_slot(struct pager *pager, struct fill_slot *slot)
{
	uint64_t since = atomic_load(&slot->since_ns);
	uint64_t limit = pager->config.deadline_ns + NS_PER_S / 2;
	uint64_t page = atomic_load(&slot->wanted);
	enum fill_kind kind = atomic_load(&slot->kind);

	if (!since || since == BETWEEN_READS ||
	    clock_now_ns() - since < limit ||
	    (kind == FILL_WAITS && is_read_on_demand(pager, page)) ||
	    atomic_exchange(&slot->reported_ns, since) == since)
		return;
	policy_overdue(pager, page, clock_now_ns() - since,
		       kind != FILL_BACKGROUND);
}

/* Kicks the threads that are in a read; whether there are any. */
static bool kick_readers(struct pager *pager)
{
	bool reading = false;

	for (unsigned int i = 0; i < FILL_SLOTS; i++) {
		struct fill_slot *slot = &pager->fills[i];

		if (!atomic_load(&slot->since_ns) ||
		    atomic_load(&slot->kind) == FILL_WAITS)
			continue;
		thread_kick_id(atomic_load(&slot->thread));
		reading = true;
	}
	return reading;
}

/* Kicks until the pager stops and no thread reads any more. */
static void kick_until_end(struct pager *pager)
{
	bool reading = true;

	while (reading) {
		reading = kick_readers(pager);
		pthread_mutex_lock(&pager->lock);
		if (!pager->watch_ends || reading)
			pager_wait_until(pager, clock_now_ns() + KICK_NS);
		reading = reading || !pager->watch_ends;
		pthread_mutex_unlock(&pager->lock);
	}
}

/* Watches while pages are absent; once cancelled, kicks until the end. */
void *watch_main(void *arg)
{
	struct pager *pager = arg;
	uint64_t period = max_u64(pager->config.deadline_ns / 4, 1000000);

	while (!pager_is_cancelled(pager) &&
	       !pages_are_complete(&pager->pages)) {
		pager_sleep_until(pager,
				  clock_now_ns() + min_u64(period, NS_PER_S));
		for (unsigned int i = 0; i < FILL_SLOTS; i++)
			check_slot(pager, &pager->fills[i]);
	}
	/* With all pages present no read is in progress. */
	if (pager_is_cancelled(pager))
		kick_until_end(pager);
	return NULL;
}

void watch_finish(struct pager *pager)
{
	for (unsigned int i = 0; i < FILL_SLOTS; i++)
		free(pager->fills[i].buffer);
}
