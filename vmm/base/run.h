/* SPDX-License-Identifier: BSD-2-Clause */
/* Search in a sorted array of runs, of pages or of addresses. */
#ifndef VMM_BASE_RUN_H
#define VMM_BASE_RUN_H

#include <stddef.h>
#include <stdint.h>

/* [first, first + count); does not wrap. */
struct run {
	uint64_t first, count;
};

/*
 * The index of the first of @n runs that ends after @at; @n if none does. The
 * runs are sorted and do not overlap. Each element begins with the fields of
 * struct run and has @stride bytes.
 */
size_t run_search(const void *runs, size_t n, size_t stride, uint64_t at);

#endif
