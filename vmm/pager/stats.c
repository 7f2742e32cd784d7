/* SPDX-License-Identifier: BSD-2-Clause */
/* The pager's counters; see the header for their memory order. */
#include "vmm/pager/stats.h"

#include "vmm/base/bytes.h"

const char *const pager_cause_names[PAGER_CAUSES] = {
	[PAGER_CAUSE_VCPU] = "vcpu",
	[PAGER_CAUSE_UFFD] = "uffd",
	[PAGER_CAUSE_DEVICE] = "device",
	[PAGER_CAUSE_BACKGROUND] = "background",
};

/* The bucket of a stall: the number of bits of its microseconds. */
static unsigned int bucket_of(uint64_t ns)
{
	uint64_t us = ns / 1000;
	unsigned int n = us ? 64 - (unsigned int)__builtin_clzll(us) : 0;

	return n < PAGER_BUCKETS ? n : PAGER_BUCKETS - 1;
}

static uint64_t value(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Keeps the larger of a counter and a value. */
static void keep_max(_Atomic uint64_t *counter, uint64_t value)
{
	uint64_t old = atomic_load_explicit(counter, memory_order_relaxed);

	while (old < value &&
	       !atomic_compare_exchange_weak_explicit(counter, &old, value,
						      memory_order_relaxed,
						      memory_order_relaxed))
		;
}

void counters_stall(struct pager_counters *counters, uint64_t ns,
		    uint64_t at_ns)
{
	uint64_t none = 0;

	count_add(&counters->stalls[bucket_of(ns)], 1);
	keep_max(&counters->stall_max_ns, ns);
	if (!value(&counters->first_ns))
		atomic_compare_exchange_strong_explicit(&counters->first_ns,
							&none, at_ns,
							memory_order_relaxed,
							memory_order_relaxed);
	keep_max(&counters->last_ns, at_ns);
}

/* Adds the counters of one lane. */
static void add_lane(const struct pager_counters *counters,
		     struct pager_stats *stats)
{
	uint64_t first_ns = value(&counters->first_ns);

	stats->retries += value(&counters->retries);
	stats->failures += value(&counters->failures);
	stats->read_ns += value(&counters->read_ns);
	stats->stall_max_ns =
		max_u64(stats->stall_max_ns, value(&counters->stall_max_ns));
	if (first_ns && (!stats->first_ns || first_ns < stats->first_ns))
		stats->first_ns = first_ns;
	stats->last_ns = max_u64(stats->last_ns, value(&counters->last_ns));
	stats->done_ns = max_u64(stats->done_ns, value(&counters->done_ns));
	for (unsigned int i = 0; i < PAGER_CAUSES; i++) {
		stats->faults[i] += value(&counters->faults[i]);
		stats->already[i] += value(&counters->already[i]);
		stats->waited[i] += value(&counters->waited[i]);
		stats->pages[i] += value(&counters->pages[i]);
	}
	for (unsigned int i = 0; i < PAGER_BUCKETS; i++)
		stats->stalls[i] += value(&counters->stalls[i]);
}

void counters_read(const struct pager_lane *lanes, struct pager_stats *stats)
{
	*stats = (struct pager_stats){ 0 };
	for (unsigned int i = 0; i < PAGER_LANES; i++)
		add_lane(&lanes[i].counters, stats);
}
