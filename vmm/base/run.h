/* SPDX-License-Identifier: BSD-2-Clause */
/* Sorted arrays of runs, of pages or of addresses. */
#ifndef VMM_BASE_RUN_H
#define VMM_BASE_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pages [first, first + count); does not wrap. */
struct page_run {
	uint64_t first, count;
};

/*
 * The index of the first of @n runs that ends after @at; @n if none does. The
 * runs are sorted and do not overlap. Each element begins with the fields of
 * struct page_run and has @stride bytes.
 */
size_t run_search(const void *runs, size_t n, size_t stride, uint64_t at);

/*
 * The first part of a run that lies in [first, end), of @n runs in an array as
 * above. False: there is none; *@part is then empty, at @end.
 */
bool run_next(const struct page_run *runs, size_t n, uint64_t first,
	      uint64_t end, struct page_run *part);

/*
 * Widens @n sorted runs to multiples of @align, and joins those that then meet or
 * are at most @gap apart; with more than @most left, those that are further apart
 * as well. Stores them in @out, which has room for @n and may be @runs; returns
 * their number.
 */
size_t run_join(const struct page_run *runs, size_t n, uint64_t align,
		uint64_t gap, size_t most, struct page_run *out);

#endif
