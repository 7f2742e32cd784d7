/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One mailbox for each processor.  The sender stores fn with release after arg;
 * the processor clears fn with release after the work.  So each side sees the
 * other's earlier writes.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "guest/lib/cpu.h"
#include "guest/lib/smp.h"

typedef void smp_fn(unsigned int cpu, void *arg);

static struct mailbox {
	_Atomic(smp_fn *) fn;
	void *arg;
	atomic_bool online;
} mailboxes[MACHINE_CPUS_MAX];

void smp_loop(unsigned int cpu)
{
	struct mailbox *box = &mailboxes[cpu];
	smp_fn *fn;

	atomic_store_explicit(&box->online, true, memory_order_release);
	for (;;) {
		fn = atomic_load_explicit(&box->fn, memory_order_acquire);
		if (!fn) {
			cpu_relax();
			continue;
		}
		fn(cpu, box->arg);
		atomic_store_explicit(&box->fn, NULL, memory_order_release);
	}
}

/* Waits up to about three seconds for processor @cpu. */
static bool came_online(const struct machine *machine, unsigned int cpu)
{
	uint64_t hz = machine->counter_hz ? machine->counter_hz : 3000000000;
	uint64_t start = cpu_counter();

	while (cpu_counter() - start < 3 * hz) {
		if (atomic_load_explicit(&mailboxes[cpu].online,
					 memory_order_acquire))
			return true;
		cpu_relax();
	}
	return false;
}

unsigned int smp_start(struct machine *machine)
{
	unsigned int online = 1;

	while (online < machine->cpu_count) {
		cpu_start(machine, online);
		if (came_online(machine, online)) {
			online++;
			continue;
		}
		/* Failed: the last of the list replaces it. */
		machine->cpu_hwid[online] =
			machine->cpu_hwid[--machine->cpu_count];
	}
	return online;
}

void smp_call(unsigned int cpu, smp_fn *fn, void *arg)
{
	smp_wait(cpu);
	mailboxes[cpu].arg = arg;
	atomic_store_explicit(&mailboxes[cpu].fn, fn, memory_order_release);
}

void smp_wait(unsigned int cpu)
{
	while (atomic_load_explicit(&mailboxes[cpu].fn, memory_order_acquire))
		cpu_relax();
}

void smp_call_all(unsigned int count, smp_fn *fn, void *arg)
{
	for (unsigned int cpu = 1; cpu < count; cpu++)
		smp_call(cpu, fn, arg);
	fn(0, arg);
	for (unsigned int cpu = 1; cpu < count; cpu++)
		smp_wait(cpu);
}
