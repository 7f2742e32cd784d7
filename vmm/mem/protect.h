/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages of guest memory that block their writers, by the write protection of
 * userfaultfd: a writer (a vCPU, KVM itself, a device, the kernel for a device) waits
 * until the protection of the page is lifted.  Reads go on.
 *
 * Semantics are from userfaultfd(2) and the kernel document
 * admin-guide/mm/userfaultfd.rst, "Write Protect Notifications".
 *
 * Threads: protect_pages() and protect_lift() from any thread; protect_next() from one
 * at a time; the first and the last call while there is no other.
 */
#ifndef VMM_MEM_PROTECT_H
#define VMM_MEM_PROTECT_H

#include <stdbool.h>
#include <stdint.h>

struct memory;

struct protect {
	const struct memory *memory;
	int fd; /* a userfaultfd, non-blocking; it can be polled */
	unsigned int registered; /* how many regions are, from the first on */
};

/*
 * Prepares all of @memory; no page is protected yet.  -errno, silent, where that
 * cannot be: memory is not anonymous, or in hugetlb pages, or the pager has a
 * userfaultfd on it, or the kernel or the user's rights do not permit it.
 */
int protect_open(struct protect *protect, const struct memory *memory);

/* Lifts the protection of all pages. */
void protect_close(struct protect *protect);

/*
 * Protects pages, whole granules of any regions; absent ones stay unprotected.  They
 * must not be written to meanwhile.  -errno, silent: a part may be protected.
 */
int protect_pages(const struct protect *protect, uint64_t first,
		  uint64_t count);

/* Lifts the protection of pages of one region, and wakes its writers.  As above. */
int protect_lift(const struct protect *protect, uint64_t first, uint64_t count);

/*
 * The first page of a granule for which a writer waits, or has waited.  false: there
 * is no such writer.
 */
bool protect_next(const struct protect *protect, uint64_t *page);

#endif
