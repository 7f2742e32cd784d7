/* SPDX-License-Identifier: BSD-2-Clause */
/* What all page sources share. */
#include "vmm/pager/source.h"

#include <stdlib.h>

/* Destroys a source. */
void page_source_destroy(struct page_source *source)
{
	if (source)
		source->ops->destroy(source);
}

/* Adds a run, or lengthens the last. */
void page_source_add_run(struct page_source *source, uint64_t first,
			 uint64_t end)
{
	struct page_run *next = &source->runs[source->run_count];

	if (source->run_count && next[-1].first + next[-1].count >= first) {
		next[-1].count = end - next[-1].first;
	} else {
		*next = (struct page_run){ first, end - first };
		source->run_count++;
	}
}

/* The run that holds a page. */
const struct page_run *page_source_find(const struct page_source *source,
					uint64_t page)
{
	size_t low = 0, high = source->run_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct page_run *run = &source->runs[mid];

		if (page - run->first < run->count)
			return run;
		if (page < run->first)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}
