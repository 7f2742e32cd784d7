/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtual timer (Arm ARM, D11.2), a private interrupt of each processor.
 * The handler reads the processor's index from TPIDR_EL1.
 */
#include "guest/lib/timer.h"
#include "guest/lib/arm64/arm64.h"
#include "guest/lib/arm64/gic.h"

#define TIMER_INTERRUPT 27 /* the usual number (Arm BSA, 4.1.3) */
#define TIMER_ENABLE	1

static struct {
	volatile unsigned int ticks;
	uint64_t period;
} timers[MACHINE_CPUS_MAX];

static void tick(void)
{
	uint64_t cpu = sysreg_read("tpidr_el1");
	uint64_t id = gic_acknowledge();

	if (id == TIMER_INTERRUPT) {
		timers[cpu].ticks++;
		sysreg_write("cntv_tval_el0", timers[cpu].period);
	}
	if (id < 1020)
		gic_end(id);
}

void timer_start(const struct machine *machine, unsigned int cpu,
		 unsigned int hz)
{
	timers[cpu].period = machine->counter_hz / hz;
	sysreg_write("tpidr_el1", cpu);
	irq_handle(tick);
	gic_enable();
	gic_enable_private(TIMER_INTERRUPT);
	sysreg_write("cntv_tval_el0", timers[cpu].period);
	sysreg_write("cntv_ctl_el0", TIMER_ENABLE);
	__asm__ volatile("msr daifclr, #2" ::: "memory");
}

unsigned int timer_ticks(unsigned int cpu)
{
	return timers[cpu].ticks;
}

uint64_t timer_now_us(const struct machine *machine, unsigned int cpu)
{
	(void)cpu;
	return machine_counter_us(machine, sysreg_read("cntvct_el0"));
}
