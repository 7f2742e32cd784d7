/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's memory and its large pages, for `thaw probe`.  One thread, silent;
 * values that cannot be read are empty or 0.
 */
#ifndef VMM_MEM_HOST_H
#define VMM_MEM_HOST_H

#include <stdint.h>

#define MEM_HOST_POOLS_MAX 8

struct mem_host {
	uint64_t total_bytes, available_bytes;
	uint64_t page_bytes;
	/* The setting of transparent_hugepage/enabled and shmem_enabled. */
	char thp[16], thp_shmem[16];
	/* hugetlbfs pools that are not empty. */
	unsigned int pool_count;
	struct mem_host_pool {
		uint64_t page_bytes;
		uint64_t total_pages, free_pages;
	} pools[MEM_HOST_POOLS_MAX];
};

/* The default size of hugetlb pages in bytes; 0: the kernel has none. */
uint64_t mem_host_hugetlb_bytes(void);

/* Fills @host from /proc and /sys. */
void mem_host_read(struct mem_host *host);

#endif
