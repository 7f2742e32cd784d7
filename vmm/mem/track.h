/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages of guest memory are written, for snapshots of a running guest and
 * for those that contain only what has changed.
 *
 * What vCPUs and KVM itself write is in KVM's dirty log; what this program writes
 * is noted by memory_note().  A page that the pager fills is not written: it
 * becomes what it was in its source.
 */
#ifndef VMM_MEM_TRACK_H
#define VMM_MEM_TRACK_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/bits.h"

struct memory;
struct page_run;

/*
 * Starts tracking; nothing counts as written yet.  A write whose note comes from another
 * thread may be lost until that thread has synchronized with this one.  No effect
 * if it is on.  -EOPNOTSUPP, silent: KVM has no dirty log for a guest_memfd; another
 * -errno, logged.  Control thread.
 */
int track_start(struct memory *memory);

/*
 * Sets in @bits, which has one for each page of RAM, those of the pages that were
 * written since the last call, or the start; a page that is written meanwhile is in this
 * call's or the next one's.  -errno, logged: some may be lost.  Control thread.
 */
int track_take(struct memory *memory, uint64_t *bits);

/* The next page in [from, @pages) whose bit is set; @pages: none. */
uint64_t track_next(const uint64_t *bits, uint64_t from, uint64_t pages);

/*
 * The first pages at or after @from whose bits are set, in one region and @most at
 * most; false: there are none.
 */
bool track_run(const struct memory *memory, const uint64_t *bits, uint64_t from,
	       uint64_t most, struct page_run *run);

/* Sets all bits of each granule of which one is set. */
void track_round(const struct memory *memory, uint64_t *bits);

/* How many bits of @words words are set. */
uint64_t track_count(const uint64_t *bits, uint64_t words);

#endif
