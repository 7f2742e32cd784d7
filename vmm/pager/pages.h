/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of every page of RAM, and the wait for a page that is being filled.
 *
 *	ABSENT --claim--> FILLING --publish--> PRESENT
 *	   ^                 |
 *	   +----release------+        (the source failed)
 *
 * One byte a granule, which is what the host maps at once (struct memory); the
 * zero byte is PRESENT, so that memory without a source costs no memory here
 * either.  A claim is one compare-and-swap; a loser waits in a futex that it
 * shares with few other granules, and checks the state again when it wakes.
 * There is no lock.
 *
 * A page is numbered by its offset in RAM as a whole (struct memory_region's
 * offset_bytes), divided by the page size.  What holds for a page holds for its
 * granule; ranges are whole granules.  Any thread.
 */
#ifndef VMM_PAGER_PAGES_H
#define VMM_PAGER_PAGES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PAGES_FUTEXES 256

/* Pages that are counted together: 2 MiB, or more granules. */
#define PAGES_CHUNK 512

/*
 * One counter of the pages that are not PRESENT would move between the caches of all
 * processors that fill, so each chunk has one, in a cache line of its own.
 */
struct pages_chunk {
	_Atomic uint64_t absent;
	uint64_t apart[7];
};

struct pages {
	_Atomic uint8_t *states; /* one a granule, mapped */
	struct pages_chunk *chunks; /* mapped */
	uint64_t count; /* pages */
	uint32_t granule_pages;
	_Atomic uint64_t absent_chunks; /* with pages that are not PRESENT */
	_Atomic uint32_t futexes[PAGES_FUTEXES];
};

/* All pages start PRESENT; @count is of whole granules.  -errno, logged. */
int pages_init(struct pages *pages, uint64_t count, uint32_t granule_pages);
/* A zeroed struct is fine. */
void pages_finish(struct pages *pages);

/* Makes PRESENT pages ABSENT, before other threads use the states. */
void pages_set_absent(struct pages *pages, uint64_t first, uint64_t count);

/* True: the contents written before pages_publish() are visible. */
bool pages_is_present(const struct pages *pages, uint64_t page);

enum pages_claim {
	PAGES_PRESENT, /* nothing to do */
	PAGES_CLAIMED, /* the caller fills it, and publishes or releases it */
	PAGES_BUSY, /* another thread fills it: pages_wait() */
};

/* Claims the page if it is ABSENT. */
enum pages_claim pages_claim(struct pages *pages, uint64_t page);

/*
 * Sleeps until the page is no longer being filled, a signal comes, or
 * pages_wake_all(): claim again afterwards.
 */
void pages_wait(struct pages *pages, uint64_t page);

/* Whether all pages are PRESENT; and how many are not, by a slow count. */
bool pages_are_complete(const struct pages *pages);
uint64_t pages_absent(const struct pages *pages);

/*
 * Makes claimed pages, whose contents are written, PRESENT; wakes waiters.  True for
 * the last ones, when all pages are.
 */
bool pages_publish(struct pages *pages, uint64_t first, uint64_t count);

/* Makes claimed pages ABSENT again; wakes waiters. */
void pages_release(struct pages *pages, uint64_t first, uint64_t count);

/* Wakes all threads in pages_wait(). */
void pages_wake_all(struct pages *pages);

#endif
