/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prints the time, forever: for tests of the clocks across pause, snapshot and
 * restore.
 *
 *	clock: cpu=0 counter_us=1234567 kvm_us=1234569 ticks=2
 *
 * counter_us is the processor's counter, kvm_us the hypervisor's clock page (0:
 * none), ticks the number of timer interrupts.  Checks:
 *
 * - the counter of a processor never goes back, and is at most a microsecond
 *   below an earlier reading of another: counters that were set one by one
 *   differ by more, those of the host itself by less (19 cycles were seen on a
 *   KVM that gives guests the host's TSC as it is);
 * - the clock page of a processor never goes back;
 * - there are not more timer interrupts than the guest's time allows: one that
 *   fires while the guest is stopped is too early in guest time.
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
	struct spin lock; /* guards counter */
	uint64_t counter; /* the latest reading of any processor */
};

/* Last readings of one processor. */
struct reading {
	uint64_t counter, page_ns;
};

/* Reads the clocks; false, with a line, if one went back. */
static bool read_clocks(struct clock *clock, unsigned int cpu,
			struct reading *now)
{
	uint64_t latest, counter_was = now->counter, page_was = now->page_ns;
	uint64_t microsecond = clock->machine->counter_hz / 1000000;

	spin_lock(&clock->lock);
	latest = clock->counter;
	now->counter = cpu_counter();
	if (now->counter > latest)
		clock->counter = now->counter;
	spin_unlock(&clock->lock);
	now->page_ns = cpu_clock_page_ns(cpu);
	if (now->counter < counter_was)
		return check(false, "cpu %u: counter %lu after %lu", cpu,
			     now->counter, counter_was);
	if (now->counter + microsecond < latest)
		return check(false, "cpu %u: counter %lu, another's was %lu",
			     cpu, now->counter, latest);
	if (now->page_ns < page_was)
		return check(false, "cpu %u: clock page %lu after %lu", cpu,
			     now->page_ns, page_was);
	return true;
}

/* Whether the number of interrupts is at most the expected one, plus one. */
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
		/*
		 * Read before the clock: the count must not be the newer one.
		 */
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
		check_skip("counter frequency unknown");
		return;
	}
	smp_call_all(cpus, run_clock, &clock);
	check_summary();
}
