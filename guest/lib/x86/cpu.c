/* SPDX-License-Identifier: BSD-2-Clause */
/* The processor: counter, MSRs by way of CPL 0, and exits to be measured. */
#include <stddef.h>

#include "guest/lib/cpu.h"
#include "guest/lib/x86/x86.h"

#define SERIAL_SCRATCH 0x3ff
#define PIC_MASK       0x21

uint64_t cpu_counter(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high)::"memory");
	return (uint64_t)high << 32 | low;
}

void cpu_relax(void)
{
	__asm__ volatile("pause" ::: "memory");
}

static uint64_t rdmsr(uint64_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"((uint32_t)msr));
	return (uint64_t)high << 32 | low;
}

/* An MSR and its value. */
struct msr_value {
	uint32_t msr, low, high;
};

static uint64_t wrmsr(uint64_t arg)
{
	const struct msr_value *v = phys(arg);

	__asm__ volatile("wrmsr" ::"c"(v->msr), "a"(v->low), "d"(v->high)
			 : "memory");
	return 0;
}

uint64_t msr_read(uint32_t msr)
{
	return ring0(rdmsr, msr);
}

void msr_write(uint32_t msr, uint64_t value)
{
	struct msr_value v = { msr, (uint32_t)value, (uint32_t)(value >> 32) };

	ring0(wrmsr, (uintptr_t)&v);
}

/* A CPUID leaf, in and out. */
static uint64_t run_cpuid(uint64_t arg)
{
	struct cpuid *c = phys(arg);

	__asm__ volatile("cpuid"
			 : "+a"(c->eax), "=b"(c->ebx), "+c"(c->ecx),
			   "=d"(c->edx));
	return 0;
}

struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid c = { .eax = leaf, .ecx = subleaf };

	ring0(run_cpuid, (uintptr_t)&c);
	return c;
}

static uintptr_t always(const struct machine *machine)
{
	(void)machine;
	return 1;
}

/* An exit handled by KVM: the mask of its interrupt controller. */
static void exit_kernel(uintptr_t arg)
{
	(void)arg;
	in8(PIC_MASK);
}

/* An exit to the VMM: a serial port register without side effects. */
static void exit_port(uintptr_t arg)
{
	(void)arg;
	in8(SERIAL_SCRATCH);
}

static uintptr_t find_ecam(const struct machine *machine)
{
	return machine->ecam;
}

static void exit_mmio(uintptr_t arg)
{
	*(volatile uint32_t *)arg;
}

const struct exit_kind *exit_kinds(size_t *count)
{
	static const struct exit_kind kinds[] = {
		{ "port read, handled by KVM", exit_kernel, always },
		{ "port read, handled by the VMM", exit_port, always },
		{ "MMIO read, handled by the VMM", exit_mmio, find_ecam },
	};

	*count = sizeof(kinds) / sizeof(kinds[0]);
	return kinds;
}
