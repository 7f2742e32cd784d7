/* SPDX-License-Identifier: BSD-2-Clause */
/* The processor: counter, hypercalls, PSCI, and exits to be measured. */
#include "guest/lib/cpu.h"
#include "guest/lib/smp.h"
#include "guest/lib/arm64/arm64.h"

extern const char other_cpu[];

void arm64_other_cpu(unsigned int cpu);

static struct {
	uint64_t index[2]; /* at the top of the stack, read by entry.S */
	uint8_t stack[STACK_BYTES - 16];
} stacks[CPUS_MAX + 1] __attribute__((aligned(16), section(".stacks")));

uint64_t cpu_counter(void)
{
	uint64_t value;

	__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(value)::"memory");
	return value;
}

/* The counter is the only clock. */
void cpu_clock_page_start(unsigned int cpu)
{
	(void)cpu;
}

uint64_t cpu_clock_page_ns(unsigned int cpu)
{
	(void)cpu;
	return 0;
}

void cpu_relax(void)
{
	__asm__ volatile("yield" ::: "memory");
}

struct hvc_result hvc(uint64_t fn, uint64_t a, uint64_t b, uint64_t c)
{
	register uint64_t x0 __asm__("x0") = fn;
	register uint64_t x1 __asm__("x1") = a;
	register uint64_t x2 __asm__("x2") = b;
	register uint64_t x3 __asm__("x3") = c;

	__asm__ volatile("hvc #0"
			 : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
			 :
			 : "memory", "x4", "x5", "x6", "x7", "x8", "x9", "x10",
			   "x11", "x12", "x13", "x14", "x15", "x16", "x17");
	return (struct hvc_result){ x0, x1, x2, x3 };
}

void arm64_other_cpu(unsigned int cpu)
{
	smp_loop(cpu);
}

/* The stack grows down from the processor's index. */
void cpu_start(const struct machine *machine, unsigned int index)
{
	uint64_t *top = stacks[index + 1].index;

	top[0] = index;
	hvc(PSCI_CPU_ON, machine->cpu_hwid[index], (uintptr_t)other_cpu,
	    (uintptr_t)top);
}

static void __attribute__((noreturn)) wait_forever(void)
{
	for (;;)
		__asm__ volatile("wfi");
}

void power_off(void)
{
	hvc(PSCI_SYSTEM_OFF, 0, 0, 0);
	wait_forever();
}

void reset(void)
{
	hvc(PSCI_SYSTEM_RESET, 0, 0, 0);
	wait_forever();
}

/*
 * A load of two registers from an address without a device: an access without
 * instruction syndrome (Arm ARM D17.2.37), which cannot be emulated.  The
 * address is the last page below 1 GiB.
 */
void crash(void)
{
	uint64_t a, b;

	__asm__ volatile("ldp %0, %1, [%2]"
			 : "=&r"(a), "=&r"(b)
			 : "r"(UINT64_C(0x3ffff000)));
	wait_forever();
}

static uintptr_t always(const struct machine *machine)
{
	(void)machine;
	return 1;
}

/* An exit handled by KVM. */
static void exit_hvc(uintptr_t arg)
{
	(void)arg;
	hvc(PSCI_VERSION, 0, 0, 0);
}

static uintptr_t find_scratch(const struct machine *machine)
{
	return serial_scratch() ? serial_scratch() : machine->ecam;
}

/* An exit to the VMM: a register without side effects. */
static void exit_mmio(uintptr_t arg)
{
	*(volatile uint8_t *)arg;
}

const struct exit_kind *exit_kinds(size_t *count)
{
	static const struct exit_kind kinds[] = {
		{ "hypercall, handled by KVM", exit_hvc, always },
		{ "MMIO read, handled by the VMM", exit_mmio, find_scratch },
	};

	*count = sizeof(kinds) / sizeof(kinds[0]);
	return kinds;
}
