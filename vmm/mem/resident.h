/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages of guest memory were ever populated, so that a snapshot neither
 * reads nor populates the others.  One thread.
 */
#ifndef VMM_MEM_RESIDENT_H
#define VMM_MEM_RESIDENT_H

#include <stdbool.h>
#include <stdint.h>

struct memory;

/*
 * fd is /proc/self/pagemap (the kernel's
 * Documentation/admin-guide/mm/pagemap.rst) for anonymous memory, else -1. Both
 * it and mincore(2) have one entry per host page, which contains host_pages
 * pages.
 */
struct resident {
	const struct memory *memory;
	uint32_t host_pages;
	int fd;
};

/* Cannot fail: without pagemap all pages count as populated. */
void resident_open(struct resident *resident, const struct memory *memory);
void resident_close(struct resident *resident);

/*
 * For each of @count pages of RAM from @page on, stores 1 in @may if it may
 * contain anything but zeros, else 0. The pages are within one region and start
 * at a host page; @count is at most RESIDENT_PAGES_MAX. The guest must be
 * paused.
 */
#define RESIDENT_PAGES_MAX 512

void resident_look(const struct resident *resident, uint64_t page,
		   uint64_t count, uint8_t *may);

/*
 * The same for whether this process has the page in its page tables or in swap:
 * the guest has accessed it, or the kernel has mapped it around such an access.
 * False if unknown. Not for a guest_memfd.
 */
bool resident_accessed(const struct resident *resident, uint64_t page,
		       uint64_t count, uint8_t *accessed);

#endif
