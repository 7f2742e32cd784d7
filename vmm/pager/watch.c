/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The watch: which fills are in progress, and a thread that reports the reads
 * that take longer than their deadline, since a read that does not return
 * cannot say so itself.
 *
 * When the pager is cancelled the same thread kicks the threads that still read,
 * again and again, as a kick may come just before the read begins.
 *
 * The table is atomics, written by the filling threads; the watch looks at it
 * every so often.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/base/thread.h"
#include "vmm/pager/private.h"

/* How often threads that still read are kicked at the end. */
#define KICK_NS (UINT64_C(10) * 1000 * 1000)

/* How long a thread waits for a slot; there are more of them than threads. */
#define SLOT_WAIT_NS (1000 * 1000)

/* Takes the first slot that is free, so that few buffers are ever used. */
static struct fill_slot *take_slot(struct pager *pager, uint64_t now)
{
	static const struct timespec wait = { .tv_nsec = SLOT_WAIT_NS };

	for (;;) {
		for (unsigned int i = 0; i < FILL_SLOTS; i++) {
			struct fill_slot *slot = &pager->fills[i];
			uint64_t none = 0;

			if (!atomic_load(&slot->since_ns) &&
			    atomic_compare_exchange_strong(&slot->since_ns,
							   &none, now))
				return slot;
		}
		nanosleep(&wait, NULL);
	}
}

/* Enters a fill. */
struct fill_slot *watch_begin(struct pager *pager, enum fill_kind kind,
			      uint64_t page, uint64_t since_ns)
{
	struct fill_slot *slot = take_slot(pager, since_ns);

	atomic_store(&slot->wanted, page);
	watch_read(slot, page, 1, since_ns);
	atomic_store(&slot->kind, kind);
	atomic_store(&slot->thread, gettid());
	return slot;
}

/*
 * A read begins: of these pages, and timed on its own, as a source that fails
 * again and again does answer.
 */
void watch_read(struct fill_slot *slot, uint64_t first, uint32_t count,
		uint64_t now_ns)
{
	atomic_store(&slot->since_ns, now_ns);
	atomic_store(&slot->first, first);
	atomic_store(&slot->count, count);
}

/* Ends it. */
void watch_end(struct fill_slot *slot)
{
	atomic_store(&slot->since_ns, 0);
}

/* Whether the watch has reported that a thread waits for this. */
static bool is_overdue(const struct fill_slot *slot)
{
	uint64_t since = atomic_load(&slot->since_ns);

	return since && atomic_load(&slot->reported_ns) == since &&
	       atomic_load(&slot->kind) != FILL_BACKGROUND;
}

/* Whether a fill that a thread waits for is overdue. */
bool watch_has_overdue(const struct pager *pager)
{
	bool overdue = false;

	for (unsigned int i = 0; i < FILL_SLOTS && !overdue; i++)
		overdue = is_overdue(&pager->fills[i]);
	return overdue;
}

/* Whether a page is being read by a thread that is watched for it itself. */
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
 * Looks at one fill; reports once that it is overdue.  One that no thread waits
 * for is no failure: a thread that comes to need it is watched as well.
 */
static void watch_fill(struct pager *pager, struct fill_slot *slot)
{
	uint64_t since = atomic_load(&slot->since_ns);
	uint64_t limit = pager->config.deadline_ns + NS_PER_S / 2;
	uint64_t page = atomic_load(&slot->wanted);
	enum fill_kind kind = atomic_load(&slot->kind);

	if (!since || clock_now_ns() - since < limit ||
	    (kind == FILL_WAITS && is_read_on_demand(pager, page)) ||
	    atomic_exchange(&slot->reported_ns, since) == since)
		return;
	policy_overdue(pager, page, clock_now_ns() - since,
		       kind != FILL_BACKGROUND);
}

/* Kicks the threads that are in a read. */
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

/* Kicks until the pager ends and no thread reads any more. */
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
	       atomic_load(&pager->pages.absent)) {
		pager_sleep_until(pager,
				  clock_now_ns() + min_u64(period, NS_PER_S));
		for (unsigned int i = 0; i < FILL_SLOTS; i++)
			watch_fill(pager, &pager->fills[i]);
	}
	/* With all pages present no read is in progress. */
	if (pager_is_cancelled(pager))
		kick_until_end(pager);
	return NULL;
}

/* Frees the buffers; no thread fills any more. */
void watch_finish(struct pager *pager)
{
	for (unsigned int i = 0; i < FILL_SLOTS; i++)
		free(pager->fills[i].buffer);
}
