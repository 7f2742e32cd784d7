/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Secondary processors: started once, then each runs one function at a time and
 * spins in between.
 */
#ifndef GUEST_SMP_H
#define GUEST_SMP_H

#include "guest/lib/machine.h"

/*
 * Starts all processors; returns the number online, including this one.  Their
 * indexes are below that number; cpu_hwid is sorted accordingly.
 */
unsigned int smp_start(struct machine *machine);

/* Runs fn(cpu, arg) on processor @cpu, not this one; returns at once. */
void smp_call(unsigned int cpu, void (*fn)(unsigned int cpu, void *arg),
	      void *arg);

/* Waits until processor @cpu is idle. */
void smp_wait(unsigned int cpu);

/* Runs fn on processors 0 to @count - 1 in parallel; returns after the last. */
void smp_call_all(unsigned int count, void (*fn)(unsigned int cpu, void *arg),
		  void *arg);

/* Entry of a started processor. */
void smp_loop(unsigned int cpu) __attribute__((noreturn));

#endif
