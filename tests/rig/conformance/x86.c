// SPDX-License-Identifier: BSD-2-Clause
/*
 * The machine's x86-64 half: page tables, the state of a vCPU in 64-bit mode,
 * and how a routine's end is seen.
 *
 * Virtual addresses are physical below 4 GiB, by 1 GiB pages; the windows have
 * a top-level entry each.
 */
#include <errno.h>
#include <string.h>

#include "machine.h"

#define PTE_USE	  0x3ULL /* present, writable */
#define PTE_USED  0x63ULL /* and accessed and dirty, as after a first use */
#define PTE_LARGE 0x80ULL

#define CR0_PE	 (1ULL << 0)
#define CR0_NE	 (1ULL << 5)
#define CR0_WP	 (1ULL << 16)
#define CR0_PG	 (1ULL << 31)
#define CR4_PAE	 (1ULL << 5)
#define EFER_LME (1ULL << 8)
#define EFER_LMA (1ULL << 10)

#define DONE_PORT 0x10

const uint64_t arch_small_va = 1ULL << 39;
const uint64_t arch_walk_va = 2ULL << 39;
const bool arch_large_pages_return = true;

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

	for (i = 0; i < 4; i++)
		table(m, 1)[i] = i << 30 | PTE_LARGE | PTE_USE;
	table(m, 0)[0] = table_gpa(1) | PTE_USE;

	/* A shadow MMU looks ahead only among entries that have been used. */
	for (i = 0; i < 512; i++)
		table(m, 4)[i] = page_gpa(i) | PTE_USED;
	table(m, 3)[0] = table_gpa(4) | PTE_USE;
	table(m, 2)[0] = table_gpa(3) | PTE_USE;
	table(m, 0)[1] = table_gpa(2) | PTE_USE;

	table(m, 5)[0] = page_gpa(WALK_TABLE_1) | PTE_USE;
	table(m, 0)[2] = table_gpa(5) | PTE_USE;
}

/* The two lowest tables of the window arch_walk_va. */
void arch_walk_tables(struct machine *m)
{
	uint64_t *t;

	t = (uint64_t *)(void *)(m->mem + WALK_TABLE_1 * PAGE_BYTES);
	t[0] = page_gpa(WALK_TABLE_2) | PTE_USE;
	t = (uint64_t *)(void *)(m->mem + WALK_TABLE_2 * PAGE_BYTES);
	t[0] = page_gpa(WALK_DATA) | PTE_USE;
}

/* A vCPU in 64-bit mode, with all the features that KVM offers. */
void arch_vcpu_init(struct vcpu *v)
{
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[256];
	} cpuid;
	struct kvm_segment code = {
		.selector = 8,
		.limit = ~0U,
		.type = 11,
		.present = 1,
		.s = 1,
		.l = 1,
		.g = 1,
	};
	struct kvm_segment data = {
		.selector = 16,
		.limit = ~0U,
		.type = 3,
		.present = 1,
		.s = 1,
		.db = 1,
		.g = 1,
	};
	struct kvm_sregs s;

	cpuid.head.nent = 256;
	if (ioctl(v->machine->kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) ||
	    ioctl(v->fd, KVM_SET_CPUID2, &cpuid))
		fail("set CPUID: %s", strerror(errno));
	if (ioctl(v->fd, KVM_GET_SREGS, &s))
		fail("read the special registers: %s", strerror(errno));
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cr0 = CR0_PE | CR0_NE | CR0_WP | CR0_PG;
	s.cr3 = table_gpa(0);
	s.cr4 = CR4_PAE;
	s.efer = EFER_LME | EFER_LMA;
	if (ioctl(v->fd, KVM_SET_SREGS, &s))
		fail("set the special registers: %s", strerror(errno));
}

/* Registers for a routine's start. */
void arch_vcpu_call(struct vcpu *v, uint64_t pc, const uint64_t arg[4])
{
	struct kvm_regs r = {
		.rip = pc,
		.rflags = 2,
		.rsp = SYS_STACK + ((uint64_t)v->index + 1) * PAGE_BYTES,
		.rdi = arg[0],
		.rsi = arg[1],
		.rdx = arg[2],
		.rcx = arg[3],
	};

	if (ioctl(v->fd, KVM_SET_REGS, &r))
		fail("set the registers: %s", strerror(errno));
}

/* The end is an OUT to a port of ours. */
bool arch_vcpu_done(struct vcpu *v, uint64_t *result)
{
	struct kvm_regs r;

	if (v->run->exit_reason != KVM_EXIT_IO || v->run->io.port != DONE_PORT)
		return false;
	if (ioctl(v->fd, KVM_GET_REGS, &r))
		fail("read the registers: %s", strerror(errno));
	*result = r.rax;
	return true;
}
