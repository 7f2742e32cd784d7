/* SPDX-License-Identifier: BSD-2-Clause */
/* Boot register state of a vCPU, for each boot protocol.  Main thread. */
#ifndef ARCH_X86_VCPU_H
#define ARCH_X86_VCPU_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/mem/plan.h"

struct kvm_vcpu;

/*
 * 64-bit mode at @entry with @rsi, with the page tables and the GDT that
 * vcpu_long_mode_tables() adds to the plan (Documentation/arch/x86/boot.rst,
 * "64-bit boot protocol").
 */
int vcpu_long_mode(const struct kvm_vcpu *cpu, uint64_t entry, uint64_t rsi);
int vcpu_long_mode_tables(struct plan *plan);

/*
 * 32-bit protected mode without paging at @entry with @ebx (Xen, docs/misc/
 * pvh.pandoc, "x86/HVM direct boot ABI").
 */
int vcpu_protected_mode(const struct kvm_vcpu *cpu, uint32_t entry,
			uint32_t ebx);

#endif
