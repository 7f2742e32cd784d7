// SPDX-License-Identifier: BSD-2-Clause
/*
 * The machine's arm64 half: stage-1 page tables, the state of a vCPU at EL1
 * with its MMU on, and how a routine's end is seen.
 *
 * 39-bit virtual addresses, so that the top table has one entry a GiB.
 * Addresses are physical below 4 GiB; the windows are the two GiB above.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "machine.h"

/* Descriptors: Arm ARM, D8.3, VMSAv8-64. */
#define PTE_BLOCK  0x1ULL
#define PTE_TABLE  0x3ULL
#define PTE_PAGE   0x3ULL
#define PTE_NORMAL (0ULL << 2) /* index into MAIR */
#define PTE_DEVICE (1ULL << 2)
#define PTE_SHARED (3ULL << 8) /* inner shareable */
#define PTE_AF	   (1ULL << 10)
#define PTE_MEM	   (PTE_NORMAL | PTE_SHARED | PTE_AF)

#define MAIR 0x00ffULL /* 0: normal, write-back; 1: device */
#define TCR                                                         \
	(25ULL | 1ULL << 8 | 1ULL << 10 | 3ULL << 12 | 1ULL << 23 | \
	 2ULL << 32) /* T0SZ, walks write-back, no TTBR1, 40 bits */
#define SCTLR_ON (1ULL << 0 | 1ULL << 2 | 1ULL << 12) /* MMU, caches */
#define PSTATE	 0x3c5ULL /* EL1h, all masked */

#define SYS_REG(op0, op1, crn, crm, op2)                                 \
	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM64_SYSREG |       \
	 (uint64_t)(op0) << 14 | (op1) << 11 | (crn) << 7 | (crm) << 3 | \
	 (op2))
#define SCTLR_EL1 SYS_REG(3, 0, 1, 0, 0)
#define TTBR0_EL1 SYS_REG(3, 0, 2, 0, 0)
#define TCR_EL1	  SYS_REG(3, 0, 2, 0, 2)
#define MAIR_EL1  SYS_REG(3, 0, 10, 2, 0)

#define CORE_REG(field)                                        \
	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | \
	 offsetof(struct kvm_regs, regs.field) / sizeof(uint32_t))

const uint64_t arch_small_va = 4ULL << 30;
const uint64_t arch_walk_va = 5ULL << 30;
const bool arch_large_pages_return = false;

/* The n-th table page of the machine: its guest address. */
static uint64_t table_gpa(int n)
{
	return SYS_TABLES + (uint64_t)n * PAGE_BYTES;
}

/* The same as the host sees it. */
static uint64_t *table(struct machine *m, int n)
{
	return (uint64_t *)(void *)(m->sys + table_gpa(n));
}

/* The machine's own tables. */
void arch_tables(struct machine *m)
{
	uint64_t i;

	for (i = 0; i < 3; i++)
		table(m, 0)[i] = i << 30 | PTE_MEM | PTE_BLOCK;
	table(m, 0)[3] = 3ULL << 30 | PTE_DEVICE | PTE_AF | PTE_BLOCK;

	for (i = 0; i < 512; i++)
		table(m, 2)[i] = page_gpa(i) | PTE_MEM | PTE_PAGE;
	table(m, 1)[0] = table_gpa(2) | PTE_TABLE;
	table(m, 0)[4] = table_gpa(1) | PTE_TABLE;

	table(m, 0)[5] = page_gpa(WALK_TABLE_1) | PTE_TABLE;
}

/* The two lowest tables of the window arch_walk_va. */
void arch_walk_tables(struct machine *m)
{
	uint64_t *t;

	t = (uint64_t *)(void *)(m->mem + WALK_TABLE_1 * PAGE_BYTES);
	t[0] = page_gpa(WALK_TABLE_2) | PTE_TABLE;
	t = (uint64_t *)(void *)(m->mem + WALK_TABLE_2 * PAGE_BYTES);
	t[0] = page_gpa(WALK_DATA) | PTE_MEM | PTE_PAGE;
}

/* Set one register. */
static void reg_set(struct vcpu *v, uint64_t id, uint64_t value)
{
	struct kvm_one_reg r = { .id = id, .addr = (uintptr_t)&value };

	if (ioctl(v->fd, KVM_SET_ONE_REG, &r))
		fail("set register %#llx: %s", (unsigned long long)id,
		     strerror(errno));
}

/* Read one register. */
static uint64_t reg_get(struct vcpu *v, uint64_t id)
{
	uint64_t value = 0;
	struct kvm_one_reg r = { .id = id, .addr = (uintptr_t)&value };

	if (ioctl(v->fd, KVM_GET_ONE_REG, &r))
		fail("read register %#llx: %s", (unsigned long long)id,
		     strerror(errno));
	return value;
}

/* A vCPU at EL1 with its MMU and caches on. */
void arch_vcpu_init(struct vcpu *v)
{
	struct kvm_vcpu_init init;

	if (ioctl(v->machine->vm, KVM_ARM_PREFERRED_TARGET, &init) ||
	    ioctl(v->fd, KVM_ARM_VCPU_INIT, &init))
		fail("initialise a vCPU: %s", strerror(errno));
	reg_set(v, MAIR_EL1, MAIR);
	reg_set(v, TCR_EL1, TCR);
	reg_set(v, TTBR0_EL1, table_gpa(0));
	reg_set(v, SCTLR_EL1, reg_get(v, SCTLR_EL1) | SCTLR_ON);
	reg_set(v, CORE_REG(pstate), PSTATE);
}

/* Registers for a routine's start. */
void arch_vcpu_call(struct vcpu *v, uint64_t pc, const uint64_t arg[4])
{
	reg_set(v, CORE_REG(pc), pc);
	reg_set(v, CORE_REG(regs[0]), arg[0]);
	reg_set(v, CORE_REG(regs[1]), arg[1]);
	reg_set(v, CORE_REG(regs[2]), arg[2]);
	reg_set(v, CORE_REG(regs[3]), arg[3]);
	reg_set(v, CORE_REG(regs[28]), DONE_GPA);
}

/* The end is a store to an address of ours. */
bool arch_vcpu_done(struct vcpu *v, uint64_t *result)
{
	if (v->run->exit_reason != KVM_EXIT_MMIO || !v->run->mmio.is_write ||
	    v->run->mmio.phys_addr != DONE_GPA || v->run->mmio.len != 8)
		return false;
	memcpy(result, v->run->mmio.data, 8);
	return true;
}
