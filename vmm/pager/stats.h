/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The counters of the pager.
 *
 * They are atomics with relaxed order: nothing depends on them.  Each vCPU counts in
 * a lane of its own, so that no cache line moves between processors at each fault;
 * readers add them up.
 */
#ifndef VMM_PAGER_STATS_H
#define VMM_PAGER_STATS_H

#include <stdatomic.h>
#include <stdint.h>

/* What needed a page. */
enum pager_cause {
	PAGER_CAUSE_VCPU, /* a userfault exit */
	PAGER_CAUSE_UFFD, /* userfaultfd: KVM, the kernel, a vCPU without
			     userfault */
	PAGER_CAUSE_DEVICE, /* thaw's own access */
	PAGER_CAUSE_BACKGROUND, /* nothing yet: background fill, a snapshot */
	PAGER_CAUSES,
};

/* "vcpu", "uffd", "device", "background". */
extern const char *const pager_cause_names[PAGER_CAUSES];

#define PAGER_LINE_BYTES 64 /* of a processor's cache */

/* A histogram of stalls: bucket n counts those below 2^n us. */
#define PAGER_BUCKETS 24

/* A copy of the counters at one time. */
struct pager_stats {
	uint64_t faults[PAGER_CAUSES]; /* that filled pages */
	uint64_t already[PAGER_CAUSES]; /* that found the page present */
	uint64_t waited
		[PAGER_CAUSES]; /* that waited for another thread's fill */
	uint64_t pages[PAGER_CAUSES]; /* filled */
	uint64_t source_pages; /* held by the source at the start */
	uint64_t absent_pages; /* of those, not filled yet */
	uint64_t retries, failures;
	uint64_t read_ns; /* in the source, all threads */
	uint64_t stalls[PAGER_BUCKETS]; /* of demand faults */
	uint64_t stall_max_ns;
	uint64_t first_ns, last_ns; /* of demand faults, since the start */
	uint64_t done_ns; /* when the last page was filled; 0: not yet */
};

struct pager_counters {
	_Atomic uint64_t faults[PAGER_CAUSES], already[PAGER_CAUSES];
	_Atomic uint64_t waited[PAGER_CAUSES], pages[PAGER_CAUSES];
	_Atomic uint64_t retries, failures, read_ns;
	_Atomic uint64_t stalls[PAGER_BUCKETS], stall_max_ns;
	_Atomic uint64_t first_ns, last_ns, done_ns;
};

static inline void count_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* All that is written at each fault, of one vCPU or of all other threads. */
struct pager_lane {
	struct pager_counters counters;
	atomic_uint demand; /* fills that a thread is blocked on */
	uint8_t apart[PAGER_LINE_BYTES]; /* from the next one */
};

/* Number 0 is for threads that are no vCPU; more vCPUs than lanes share them. */
#define PAGER_LANES 33

/* Counts a stall of @ns, which ended @at_ns after the start. */
void counters_stall(struct pager_counters *counters, uint64_t ns,
		    uint64_t at_ns);

/* The sums and maxima of all PAGER_LANES, which may change meanwhile. */
void counters_read(const struct pager_lane *lanes, struct pager_stats *stats);

#endif
