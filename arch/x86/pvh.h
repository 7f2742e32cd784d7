/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The start info of a PVH entry: version 1 of struct hvm_start_info (Xen,
 * public/arch-x86/hvm/start_info.h).  One thread.
 */
#ifndef ARCH_X86_PVH_H
#define ARCH_X86_PVH_H

#include "arch/x86/e820.h"
#include "vmm/mem/plan.h"

struct pvh_start {
	const struct e820 *map;
	gpa_t cmdline_gpa;
	gpa_t initrd_gpa;
	uint64_t initrd_bytes; /* 0: none */
	gpa_t rsdp_gpa;
};

/* Adds the start info and its lists to the plan, in the page at @gpa. */
int pvh_start_add(struct plan *plan, gpa_t gpa, const struct pvh_start *start);

#endif
