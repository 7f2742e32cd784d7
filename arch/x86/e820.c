/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's physical memory map: RAM without the reserved range below 1 MiB,
 * KVM's pages and the ECAM window.
 *
 * One thread.
 */
#include "arch/x86/e820.h"

#include <assert.h>

#include "arch/x86/x86.h"

static void add(struct e820 *map, uint64_t from, uint64_t to, uint32_t type)
{
	if (from >= to)
		return;
	assert(map->count < E820_MAX);
	map->entries[map->count++] =
		(struct e820_entry){ from, to - from, type };
}

/* RAM from address 0, without the reserved range below 1 MiB. */
static void add_first(struct e820 *map, uint64_t end)
{
	add(map, 0, min_u64(end, X86_LOW_RAM_END), E820_RAM);
	add(map, X86_LOW_RAM_END, X86_HIGH_RAM, E820_RESERVED);
	add(map, X86_HIGH_RAM, end, E820_RAM);
}

void e820_make(struct e820 *map, const struct memory *memory)
{
	map->count = 0;
	for (unsigned int i = 0; i < memory->region_count; i++) {
		const struct memory_region *r = &memory->regions[i];

		if (r->gpa == 0)
			add_first(map, r->size_bytes);
		if (i == 0) {
			add(map, X86_ECAM, X86_ECAM + X86_ECAM_BYTES,
			    E820_RESERVED);
			add(map, X86_IDENTITY_MAP,
			    X86_IDENTITY_MAP + X86_KVM_BYTES, E820_RESERVED);
		}
		if (r->gpa != 0)
			add(map, r->gpa, r->gpa + r->size_bytes, E820_RAM);
	}
}
