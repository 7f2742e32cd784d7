/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TSC frequency: from the processor (CPUID 0x15), the hypervisor (leaf
 * 0x40000010), or kvmclock (Documentation/virt/kvm/x86/msr.rst of Linux,
 * MSR_KVM_SYSTEM_TIME_NEW).
 */
#include "guest/lib/cpu.h"
#include "guest/lib/string.h"
#include "guest/lib/x86/x86.h"

#define HYPERVISOR_LEAF	  0x40000000
#define KVM_FEATURES_LEAF 0x40000001
#define TIMING_LEAF	  0x40000010
#define KVM_CLOCKSOURCE2  (1u << 3)
#define MSR_SYSTEM_TIME	  0x4b564d01

/* struct pvclock_vcpu_time_info of the same document. */
struct clock_page {
	uint32_t version, pad;
	uint64_t tsc, system_ns;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad2[2];
} __attribute__((aligned(64)));

static volatile struct clock_page pages[MACHINE_CPUS_MAX];

static bool has_kvmclock(void)
{
	return cpuid(KVM_FEATURES_LEAF, 0).eax & KVM_CLOCKSOURCE2;
}

void cpu_clock_page_start(unsigned int cpu)
{
	if (has_kvmclock())
		msr_write(MSR_SYSTEM_TIME, (uintptr_t)&pages[cpu] | 1);
}

/* System time plus scaled ticks since; an odd version is being updated. */
uint64_t cpu_clock_page_ns(unsigned int cpu)
{
	const volatile struct clock_page *page = &pages[cpu];
	uint32_t version;
	uint64_t ticks, ns;

	do {
		version = page->version;
		__asm__ volatile("" ::: "memory");
		ticks = cpu_counter() - page->tsc;
		ticks = page->shift < 0 ? ticks >> -page->shift :
					  ticks << page->shift;
		ns = page->system_ns +
		     (uint64_t)((unsigned __int128)ticks * page->mul >> 32);
		__asm__ volatile("" ::: "memory");
	} while (version & 1 || version != page->version);
	return version ? ns : 0;
}

/* From the processor: crystal in ecx, times ebx / eax. */
static uint64_t hz_cpuid(void)
{
	struct cpuid c;

	if (cpuid(0, 0).eax < 0x15)
		return 0;
	c = cpuid(0x15, 0);
	return c.eax ? (uint64_t)c.ecx * c.ebx / c.eax : 0;
}

static uint64_t hz_timing_leaf(void)
{
	if (cpuid(HYPERVISOR_LEAF, 0).eax < TIMING_LEAF)
		return 0;
	return (uint64_t)cpuid(TIMING_LEAF, 0).eax * 1000;
}

/* Solves ns = (cycles << shift) * mul >> 32 for a second. */
static uint64_t hz_kvmclock(void)
{
	const volatile struct clock_page *page = &pages[0];
	uint64_t hz;

	if (!has_kvmclock())
		return 0;
	msr_write(MSR_SYSTEM_TIME, (uintptr_t)page | 1);
	hz = page->mul ? (UINT64_C(1000000000) << 32) / page->mul : 0;
	hz = page->shift < 0 ? hz << -page->shift : hz >> page->shift;
	msr_write(MSR_SYSTEM_TIME, 0);
	return hz;
}

void clock_init(struct machine *machine)
{
	machine->counter_source = "CPUID";
	machine->counter_hz = hz_cpuid();
	if (!machine->counter_hz && machine->hypervisor[0])
		machine->counter_hz = hz_timing_leaf();
	if (machine->counter_hz || strcmp(machine->hypervisor, "KVM"))
		return;
	machine->counter_source = "kvmclock";
	machine->counter_hz = hz_kvmclock();
}
