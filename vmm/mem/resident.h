/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages of guest memory were ever given contents, so that a snapshot
 * neither reads nor creates the others.
 */
#ifndef VMM_MEM_RESIDENT_H
#define VMM_MEM_RESIDENT_H

#include <stdint.h>

struct memory;

/*
 * For looking at many pages.  fd is /proc/self/pagemap where that is needed
 * and there (the kernel's Documentation/admin-guide/mm/pagemap.rst), else -1.
 * Both it and mincore(2) have one entry a page of the host, of host_pages pages.
 */
struct resident {
	const struct memory *memory;
	uint32_t host_pages;
	int fd;
};

void resident_open(struct resident *resident, const struct memory *memory);
void resident_close(struct resident *resident);

/*
 * Stores for each of @count pages of RAM from @page on, all within one region
 * and the first at the start of a page of the host, whether it may hold
 * anything but zeros: 1, or 0 when it surely does not.
 * @count is at most RESIDENT_PAGES_MAX.  The guest does not run.
 */
#define RESIDENT_PAGES_MAX 512
void resident_look(const struct resident *resident, uint64_t page,
		   uint64_t count, uint8_t *may);

#endif
