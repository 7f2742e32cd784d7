/* SPDX-License-Identifier: BSD-2-Clause */
/* See the header. */
#include "vmm/base/zeros.h"

#include <stddef.h>
#include <sys/mman.h>

void *zeros_map(uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void zeros_unmap(void *zeros, uint64_t bytes)
{
	if (zeros)
		munmap(zeros, bytes);
}
