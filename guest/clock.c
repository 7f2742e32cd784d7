/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Says what time it is, for ever: a guest whose clocks are looked at from
 * outside while it is paused, saved and restored.
 *
 *	clock: cpu=0 counter_us=1234567 kvm_us=1234569 ticks=2
 *
 * counter_us is the processor's counter, kvm_us the hypervisor's clock page (0:
 * there is none), ticks the timer's interrupts.  Checked here:
 *
 * - no processor reads a counter below what another has read before it;
 * - the clock page of a processor never goes back;
 * - the timer has not come more often than its time allows: one that fires while
 *   the guest is stopped comes too early in the guest's time.
 *
 *	period=N	milliseconds between a processor's lines (50)
 *	hz=N		timer interrupts a second (2)
 */
#include "guest/lib/check.h"
#include "guest/lib/cpu.h"
#include "guest/lib/machine.h"
#include "guest/lib/print.h"
#include "guest/lib/smp.h"
#include "guest/lib/spin.h"
#include "guest/lib/timer.h"

struct clock {
	const struct machine *machine;
	uint64_t period, timer_hz;
	struct spin lock; /* of: */
	uint64_t counter; /* the latest that a processor has read */
};

/* What one processor has read last. */
struct reading {
	uint64_t counter, page_ns;
};

/* Reads the clocks; false, with a line, when one goes back. */
static bool read_clocks(struct clock *clock, unsigned int cpu,
			struct reading *now)
{
	uint64_t counter_was, page_was = now->page_ns;

	spin_lock(&clock->lock);
	counter_was = clock->counter;
	clock->counter = now->counter = cpu_counter();
	spin_unlock(&clock->lock);
	now->page_ns = cpu_clock_page_ns(cpu);
	if (now->counter < counter_was)
		return check(false, "cpu %u: counter %lu after %lu", cpu,
			     now->counter, counter_was);
	if (now->page_ns < page_was)
		return check(false, "cpu %u: clock page %lu after %lu", cpu,
			     now->page_ns, page_was);
	return true;
}

/* Whether there were no more interrupts than are due, but for one in between. */
static bool check_ticks(const struct clock *clock, unsigned int cpu,
			unsigned int ticks, uint64_t us)
{
	if (ticks <= us * clock->timer_hz / 1000000 + 1)
		return true;
	return check(false, "cpu %u: %u timer interrupts in %lu us", cpu, ticks,
		     us);
}

static void run_clock(unsigned int cpu, void *arg)
{
	struct clock *clock = arg;
	struct reading now = { 0 };
	uint64_t first = 0, next = 0, us;

	cpu_clock_page_start(cpu);
	timer_start(clock->machine, cpu, (unsigned int)clock->timer_hz);
	for (;;) {
		/* The count first: it may only grow before the clock is read. */
		unsigned int ticks = timer_ticks(cpu);

		if (!read_clocks(clock, cpu, &now))
			break;
		us = timer_now_us(clock->machine, cpu);
		first = first ? first : us;
		if (!check_ticks(clock, cpu, ticks, us - first))
			break;
		if (now.counter < next)
			continue;
		next = now.counter +
		       clock->period * (clock->machine->counter_hz / 1000);
		print("clock: cpu=%u counter_us=%lu kvm_us=%lu ticks=%u\n", cpu,
		      machine_counter_us(clock->machine, now.counter),
		      now.page_ns / 1000, ticks);
	}
}

void payload_main(struct machine *machine)
{
	struct clock clock = {
		.machine = machine,
		.period = arg_number(machine, "period", 50),
		.timer_hz = arg_number(machine, "hz", 2),
	};
	unsigned int cpus = smp_start(machine);

	if (!machine->counter_hz) {
		check_skip("the rate of the counter is not known");
		return;
	}
	smp_call_all(cpus, run_clock, &clock);
	check_summary();
}
