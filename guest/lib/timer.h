/* SPDX-License-Identifier: BSD-2-Clause */
/* A timer interrupt on each processor that starts it, and its count. */
#ifndef GUEST_TIMER_H
#define GUEST_TIMER_H

#include <stdint.h>

#include "guest/lib/machine.h"

/*
 * Starts @hz interrupts a second, approximately, on the calling processor @cpu.
 */
void timer_start(const struct machine *machine, unsigned int cpu,
		 unsigned int hz);

/*
 * The time base of the interrupts, in microseconds: the counter, or the
 * hypervisor's clock if the timer counts separately.  The two differ after a
 * pause if KVM cannot stop the counter.
 */
uint64_t timer_now_us(const struct machine *machine, unsigned int cpu);

/* Number of interrupts taken by @cpu. */
unsigned int timer_ticks(unsigned int cpu);

#endif
