/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC timer (SDM 3A, 11.5.4): TSC deadline mode on odd processors,
 * if supported, and periodic mode on the others, so that snapshots have both.
 */
#include "guest/lib/cpu.h"
#include "guest/lib/timer.h"
#include "guest/lib/x86/x86.h"

#define APIC_EOI      0x0b0
#define APIC_SPURIOUS 0x0f0
#define APIC_LVT      0x320
#define APIC_INITIAL  0x380
#define APIC_DIVIDE   0x3e0

#define APIC_ENABLE  0x100
#define LVT_PERIODIC (1u << 17)
#define LVT_DEADLINE (2u << 17)
#define DIVIDE_BY_1  0xb
#define APIC_HZ	     1000000000 /* KVM's default */
#define VECTOR_TIMER 0x31
#define MSR_DEADLINE 0x6e0
#define HAS_DEADLINE (1u << 24)

/* Indexed by APIC id, which is known in a trap; period 0: periodic mode. */
static struct timer {
	volatile unsigned int ticks;
	volatile uint64_t period;
} timers[256];
static uint8_t apic_ids[MACHINE_CPUS_MAX];

/* CPL 0: sets the next deadline, in deadline mode. */
static void arm(const struct timer *timer)
{
	uint64_t next = cpu_counter() + timer->period;

	if (timer->period)
		__asm__ volatile("wrmsr" ::"c"(MSR_DEADLINE),
				 "a"((uint32_t)next),
				 "d"((uint32_t)(next >> 32)));
}

static uint64_t arm_first(uint64_t arg)
{
	arm(phys(arg));
	return 0;
}

/* CPL 0. */
static void tick(void)
{
	struct timer *timer = &timers[apic_read(APIC_ID) >> 24];

	timer->ticks++;
	arm(timer);
	apic_write(APIC_EOI, 0);
}

void timer_start(const struct machine *machine, unsigned int cpu,
		 unsigned int hz)
{
	struct timer *timer;

	apic_ids[cpu] = (uint8_t)(apic_read(APIC_ID) >> 24);
	timer = &timers[apic_ids[cpu]];
	trap_handle(VECTOR_TIMER, tick);
	apic_write(APIC_SPURIOUS, APIC_ENABLE | VECTOR_SPURIOUS);
	if (cpu % 2 && machine->counter_hz && cpuid(1, 0).ecx & HAS_DEADLINE) {
		timer->period = machine->counter_hz / hz;
		apic_write(APIC_LVT, LVT_DEADLINE | VECTOR_TIMER);
		ring0(arm_first, (uintptr_t)timer);
		return;
	}
	apic_write(APIC_LVT, LVT_PERIODIC | VECTOR_TIMER);
	apic_write(APIC_DIVIDE, DIVIDE_BY_1);
	apic_write(APIC_INITIAL, APIC_HZ / hz);
}

unsigned int timer_ticks(unsigned int cpu)
{
	return timers[apic_ids[cpu]].ticks;
}

uint64_t timer_now_us(const struct machine *machine, unsigned int cpu)
{
	uint64_t ns = cpu_clock_page_ns(cpu);

	return ns && !timers[apic_ids[cpu]].period ?
		       ns / 1000 :
		       machine_counter_us(machine, cpu_counter());
}
