/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/base/run.h"

size_t run_search(const void *runs, size_t n, size_t stride, uint64_t at)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct run *run =
			(const void *)((const char *)runs + mid * stride);

		if (run->first + run->count <= at)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}
