/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/base/run.h"

#include <string.h>

#include "vmm/base/bytes.h"

size_t run_search(const void *runs, size_t n, size_t stride, uint64_t at)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct page_run *run =
			(const void *)((const char *)runs + mid * stride);

		if (run->first + run->count <= at)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool run_next(const struct page_run *runs, size_t n, uint64_t first,
	      uint64_t end, struct page_run *part)
{
	size_t i = run_search(runs, n, sizeof(*runs), first);
	uint64_t from;

	*part = (struct page_run){ end, 0 };
	if (first >= end || i == n || runs[i].first >= end)
		return false;
	from = max_u64(runs[i].first, first);
	*part = (struct page_run){
		from, min_u64(runs[i].first + runs[i].count, end) - from
	};
	return true;
}

/* The runs of run_join() for one gap, in place. */
static size_t join(struct page_run *runs, size_t n, uint64_t align,
		   uint64_t gap)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t first = align_down(runs[i].first, align);
		uint64_t end = align_up(runs[i].first + runs[i].count, align);
		struct page_run *last = count ? &runs[count - 1] : NULL;

		if (last && first <= last->first + last->count + gap)
			last->count = end - last->first;
		else
			runs[count++] = (struct page_run){ first, end - first };
	}
	return count;
}

size_t run_join(const struct page_run *runs, size_t n, uint64_t align,
		uint64_t gap, size_t most, struct page_run *out)
{
	memmove(out, runs, n * sizeof(*out));
	while ((n = join(out, n, align, gap)) > most)
		gap = gap ? 2 * gap : 8;
	return n;
}
