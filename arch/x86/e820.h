/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's physical memory map, in the types common to both boot protocols
 * (ACPI 6.5, 15: "System Address Map Interfaces").
 */
#ifndef ARCH_X86_E820_H
#define ARCH_X86_E820_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/mem/memory.h"

#define E820_RAM      1
#define E820_RESERVED 2

#define E820_MAX 16

struct e820_entry {
	uint64_t gpa, size_bytes;
	uint32_t type;
};

struct e820 {
	struct e820_entry entries[E820_MAX]; /* sorted, no overlaps */
	size_t count;
};

/* Builds the map of @memory. */
void e820_make(struct e820 *map, const struct memory *memory);

#endif
