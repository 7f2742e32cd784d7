/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The start info of a PVH entry, followed by its module list and its memory
 * map.
 *
 * One thread.  Offsets from Xen's public/arch-x86/hvm/start_info.h.
 */
#include "arch/x86/pvh.h"

#include "arch/x86/x86.h"

#define START_MAGIC   0x336ec578
#define START_VERSION 1
#define START_BYTES   56
#define MODULE_BYTES  32
#define MEMMAP_BYTES  24
#define MODULES	      START_BYTES
#define MEMMAP	      (MODULES + MODULE_BYTES)
#define ALL_BYTES     (MEMMAP + E820_MAX * MEMMAP_BYTES)

int pvh_start_add(struct plan *plan, gpa_t gpa, const struct pvh_start *start)
{
	uint8_t b[ALL_BYTES] = { 0 };

	put_le32(b, START_MAGIC);
	put_le32(b + 4, START_VERSION);
	if (start->initrd_bytes) {
		put_le32(b + 12, 1);
		put_le64(b + 16, gpa + MODULES);
		put_le64(b + MODULES, start->initrd_gpa);
		put_le64(b + MODULES + 8, start->initrd_bytes);
	}
	put_le64(b + 24, start->cmdline_gpa);
	put_le64(b + 32, start->rsdp_gpa);
	put_le64(b + 40, gpa + MEMMAP);
	put_le32(b + 48, (uint32_t)start->map->count);
	for (size_t i = 0; i < start->map->count; i++) {
		uint8_t *e = b + MEMMAP + i * MEMMAP_BYTES;

		put_le64(e, start->map->entries[i].gpa);
		put_le64(e + 8, start->map->entries[i].size_bytes);
		put_le32(e + 16, start->map->entries[i].type);
	}
	return plan_add_bytes(plan, "PVH start info", gpa, b, sizeof(b));
}
