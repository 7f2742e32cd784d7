/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vCPU set-up: CPUID, some MSRs, the registers at entry.
 *
 * Main thread.  KVM leaves every vCPU but the first waiting for a SIPI, as
 * both boot protocols require.
 */
#include "arch/x86/vcpu.h"

#include <errno.h>
#include <stdlib.h>

#include "arch/x86/cpuid.h"
#include "arch/x86/msr.h"
#include "arch/x86/x86.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"

/* Control registers and EFER (Intel SDM volume 3, 2.5 and 2.2.1). */
#define CR0_PE	 UINT64_C(0x1)
#define CR0_ET	 UINT64_C(0x10)
#define CR0_PG	 UINT64_C(0x80000000)
#define CR4_PAE	 UINT64_C(0x20)
#define EFER_LME UINT64_C(0x100)
#define EFER_LMA UINT64_C(0x400)
#define RFLAGS_1 UINT64_C(0x2) /* reserved, always set */

/* Selectors of the Linux boot protocol: __BOOT_CS and __BOOT_DS. */
#define BOOT_CS	 0x10
#define BOOT_DS	 0x18
#define BOOT_TSS 0x20

/* Segment types: code execute/read and data read/write, accessed; TSS. */
#define TYPE_CODE 0xb
#define TYPE_DATA 0x3
#define TYPE_TSS  0xb

/* Page table entry bits: present, writable, large (SDM volume 3, 4.5). */
#define PTE_TABLE 0x3
#define PTE_LARGE 0x83

static int set_cpuid(struct machine *machine, struct kvm_vcpu *cpu)
{
	CLEANUP_FREE struct kvm_cpuid2 *table = cpuid_alloc(CPUID_ENTRIES_MAX);
	int err;

	if (!table)
		return log_errno(ENOMEM, "vCPU %u: CPUID table", cpu->id);
	cpuid_for_vcpu(machine->arch->cpuid, cpu->id, machine->cpu_count,
		       machine->arch->has_deadline, table);
	err = kvm_call(cpu->fd, KVM_SET_CPUID2, table);
	return err < 0 ? err : 0;
}

/* Sets an optional MSR. Some KVMs refuse MSRs of their own index list. */
static void set_optional_msr(const struct kvm_vcpu *cpu, uint32_t index,
			     uint64_t value)
{
	if (msr_set(cpu, index, value) < 0)
		log_info("vCPU %u: KVM refuses MSR 0x%x; left unchanged",
			 cpu->id, index);
}

int arch_vcpu_setup(struct machine *machine, struct kvm_vcpu *cpu)
{
	int err = set_cpuid(machine, cpu);

	if (err)
		return err;
	set_optional_msr(cpu, MSR_MISC_ENABLE, MISC_ENABLE_FAST_STRING);
	set_optional_msr(cpu, MSR_MTRR_DEF_TYPE, MTRR_DEF_TYPE_WRITE_BACK);
	return 0;
}

/* A flat segment of 4 GiB. */
static struct kvm_segment flat(uint16_t selector, uint8_t type, bool is_64)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.db = !is_64,
		.l = is_64,
		.g = 1,
	};
}

/* Flat segments, and the task register that both modes require. */
static void set_segments(struct kvm_sregs *s, bool is_64)
{
	struct kvm_segment data = flat(BOOT_DS, TYPE_DATA, false);

	s->cs = flat(BOOT_CS, TYPE_CODE, is_64);
	s->ds = s->es = s->fs = s->gs = s->ss = data;
	s->tr = (struct kvm_segment){
		.limit = 0x67,
		.selector = BOOT_TSS,
		.type = TYPE_TSS,
		.present = 1,
	};
}

static int set_registers(const struct kvm_vcpu *cpu, struct kvm_sregs *sregs,
			 const struct kvm_regs *regs)
{
	int err = kvm_call(cpu->fd, KVM_SET_SREGS, sregs);

	if (err >= 0)
		err = kvm_call(cpu->fd, KVM_SET_REGS, regs);
	return err < 0 ? err : 0;
}

int vcpu_long_mode(const struct kvm_vcpu *cpu, uint64_t entry, uint64_t rsi)
{
	struct kvm_regs regs = { .rip = entry, .rsi = rsi, .rflags = RFLAGS_1 };
	struct kvm_sregs sregs;
	int err = kvm_call(cpu->fd, KVM_GET_SREGS, &sregs);

	if (err < 0)
		return err;
	set_segments(&sregs, true);
	sregs.gdt = (struct kvm_dtable){ .base = X86_GDT, .limit = 0x2f };
	sregs.idt = (struct kvm_dtable){ 0 };
	sregs.cr0 = CR0_PE | CR0_ET | CR0_PG;
	sregs.cr3 = X86_PAGE_TABLES;
	sregs.cr4 = CR4_PAE;
	sregs.efer = EFER_LME | EFER_LMA;
	return set_registers(cpu, &sregs, &regs);
}

int vcpu_protected_mode(const struct kvm_vcpu *cpu, uint32_t entry,
			uint32_t ebx)
{
	struct kvm_regs regs = { .rip = entry, .rbx = ebx, .rflags = RFLAGS_1 };
	struct kvm_sregs sregs;
	int err = kvm_call(cpu->fd, KVM_GET_SREGS, &sregs);

	if (err < 0)
		return err;
	set_segments(&sregs, false);
	sregs.gdt = sregs.idt = (struct kvm_dtable){ 0 };
	sregs.cr0 = CR0_PE | CR0_ET;
	sregs.cr3 = sregs.cr4 = sregs.efer = 0;
	return set_registers(cpu, &sregs, &regs);
}

/* The identity map of the first 4 GiB in 2 MiB pages. */
static int add_page_tables(struct plan *plan)
{
	enum { PAGES = 6, ENTRIES = 512, LARGE_BYTES = 0x200000 };
	CLEANUP_FREE uint8_t *tables = calloc(PAGES, PAGE_BYTES);
	uint8_t *directory, *large;

	if (!tables)
		return log_errno(ENOMEM, "page tables");
	directory = tables + PAGE_BYTES;
	large = directory + PAGE_BYTES;
	put_le64(tables, (X86_PAGE_TABLES + PAGE_BYTES) | PTE_TABLE);
	for (uint64_t i = 0; i < 4; i++)
		put_le64(directory + 8 * i,
			 (X86_PAGE_TABLES + (2 + i) * PAGE_BYTES) | PTE_TABLE);
	for (uint64_t i = 0; i < UINT64_C(4) * ENTRIES; i++)
		put_le64(large + 8 * i, i * LARGE_BYTES | PTE_LARGE);
	return plan_add_bytes(plan, "page tables", X86_PAGE_TABLES, tables,
			      PAGES * PAGE_BYTES);
}

int vcpu_long_mode_tables(struct plan *plan)
{
	/* Descriptors (SDM volume 3, 3.4.5): 64-bit code, data, a TSS of 16. */
	static const uint64_t gdt[6] = {
		[BOOT_CS / 8] = UINT64_C(0x00af9b000000ffff),
		[BOOT_DS / 8] = UINT64_C(0x00cf93000000ffff),
		[BOOT_TSS / 8] = UINT64_C(0x00008b0000000067),
	};
	uint8_t bytes[sizeof(gdt)];
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(gdt); i++)
		put_le64(bytes + 8 * i, gdt[i]);
	err = plan_add_bytes(plan, "GDT", X86_GDT, bytes, sizeof(bytes));
	return err ? err : add_page_tables(plan);
}
