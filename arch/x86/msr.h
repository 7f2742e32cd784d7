/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Model-specific registers that thaw itself names (Intel SDM volume 4).
 */
#ifndef ARCH_X86_MSR_H
#define ARCH_X86_MSR_H

#define MSR_TSC		   0x10
#define MSR_MISC_ENABLE	   0x1a0
#define MSR_MTRR_DEF_TYPE  0x2ff
#define MSR_TSC_DEADLINE   0x6e0

/* Fast string operations. */
#define MISC_ENABLE_FAST_STRING 1
/* MTRRs on, all memory write-back; the guest's page tables do the rest. */
#define MTRR_DEF_TYPE_WRITE_BACK 0x806

#endif
