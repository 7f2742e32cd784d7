/* SPDX-License-Identifier: BSD-2-Clause */
/* What all page sources share; see the header. */
#include "vmm/pager/source.h"

#include <stdlib.h>

#include "vmm/base/run.h"

void page_source_destroy(struct page_source *source)
{
	if (source)
		source->ops->destroy(source);
}

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

size_t page_source_search(const struct page_source *source, uint64_t page)
{
	return run_search(source->runs, source->run_count,
			  sizeof(source->runs[0]), page);
}

const struct page_run *page_source_find(const struct page_source *source,
					uint64_t page)
{
	size_t i = page_source_search(source, page);
	const struct page_run *run = &source->runs[i];

	return i < source->run_count && run->first <= page ? run : NULL;
}
