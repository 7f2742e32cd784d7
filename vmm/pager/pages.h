/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of every page of RAM: who may fill it, who waits for it.
 *
 *	ABSENT --claim--> FILLING --publish--> PRESENT
 *	   ^                 |
 *	   +----release------+        (the source failed)
 *
 * One byte a granule, which is what the host maps at once (struct memory); the
 * zero byte is PRESENT, so that memory without a source costs no memory here
 * either.  A claim is one compare-and-swap; a loser waits in a futex that it
 * shares with few other granules, and looks at its own when it wakes.  No lock
 * anywhere.
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

struct pages {
	_Atomic uint8_t *states; /* one a granule, mapped */
	uint64_t count; /* pages */
	uint32_t granule_pages;
	_Atomic uint64_t absent; /* pages that are not PRESENT */
	_Atomic uint32_t futexes[PAGES_FUTEXES];
};

/* All pages start PRESENT; @count is of whole granules.  -errno, logged. */
int pages_init(struct pages *pages, uint64_t count, uint32_t granule_pages);
void pages_finish(struct pages *pages);

/* Makes a range ABSENT, which is PRESENT; before any other thread looks. */
void pages_set_absent(struct pages *pages, uint64_t first, uint64_t count);

/* Whether what was written to the page before its publication is visible. */
bool pages_is_present(const struct pages *pages, uint64_t page);

enum pages_claim {
	PAGES_PRESENT, /* nothing to do */
	PAGES_CLAIMED, /* the caller fills it, and publishes or releases it */
	PAGES_BUSY, /* another thread fills it: pages_wait() */
};

enum pages_claim pages_claim(struct pages *pages, uint64_t page);

/*
 * Waits until the page is not being filled any more, a signal comes, or
 * pages_wake_all(); so look again.
 */
void pages_wait(struct pages *pages, uint64_t page);

/* Makes claimed pages PRESENT and wakes who waits.  Contents come first. */
void pages_publish(struct pages *pages, uint64_t first, uint64_t count);

/* Gives claimed pages back as ABSENT and wakes who waits. */
void pages_release(struct pages *pages, uint64_t first, uint64_t count);

/* Makes every waiter look again. */
void pages_wake_all(struct pages *pages);

#endif
