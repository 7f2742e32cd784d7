/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guards of guest_memfd regions: the mappings that their memslots name (see
 * gates.h).  A guard starts as a second mapping of the whole guest_memfd; uffd.c
 * covers the runs of absent pages and opens them again.  One thread.
 */
#include <errno.h>
#include <sys/mman.h>

#include "vmm/base/log.h"
#include "vmm/mem/memory.h"
#include "vmm/pager/gates.h"

int guard_map(struct memory *memory)
{
	for (unsigned int i = 0; i < memory->region_count; i++) {
		struct memory_region *region = &memory->regions[i];
		void *p;

		if (region->guest_memfd < 0)
			continue;
		p = mmap(NULL, region->size_bytes, PROT_READ | PROT_WRITE,
			 MAP_SHARED, region->guest_memfd, 0);
		if (p == MAP_FAILED)
			return log_errno(errno, "map guest_memfd guard");
		region->slot_hva = p;
	}
	return 0;
}

void guard_unmap(struct memory *memory)
{
	for (unsigned int i = 0; i < memory->region_count; i++) {
		struct memory_region *region = &memory->regions[i];

		if (region->slot_hva)
			munmap(region->slot_hva, region->size_bytes);
		region->slot_hva = NULL;
	}
}
