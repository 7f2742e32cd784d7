/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A timer interrupt on each processor that asks for one, and a count of them: a
 * guest in which time must go on.
 */
#ifndef GUEST_TIMER_H
#define GUEST_TIMER_H

#include <stdint.h>

#include "guest/lib/machine.h"

/* Starts some @hz interrupts a second on the processor that calls, @cpu. */
void timer_start(const struct machine *machine, unsigned int cpu,
		 unsigned int hz);

/*
 * The time that they come by, in microseconds: the counter's, or that of the
 * hypervisor's clock where the timer has a count of its own.  The two differ
 * after a pause under a KVM that cannot stop the counter.
 */
uint64_t timer_now_us(const struct machine *machine, unsigned int cpu);

/* How many processor @cpu has taken. */
unsigned int timer_ticks(unsigned int cpu);

#endif
