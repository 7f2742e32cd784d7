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

/* How many processor @cpu has taken. */
unsigned int timer_ticks(unsigned int cpu);

#endif
