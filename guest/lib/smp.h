/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The other processors: started once, then each runs what it is given, one
 * thing at a time, and spins in between.
 */
#ifndef GUEST_SMP_H
#define GUEST_SMP_H

#include "guest/lib/machine.h"

/*
 * Starts all of them, one after the other; how many run, this one included.
 * Those that run have the indexes below that number; cpu_hwid is sorted so.
 */
unsigned int smp_start(struct machine *machine);

/* Has processor @cpu, not this one, call fn(cpu, arg); returns at once. */
void smp_call(unsigned int cpu, void (*fn)(unsigned int cpu, void *arg),
	      void *arg);

/* Returns when processor @cpu has nothing to do. */
void smp_wait(unsigned int cpu);

/* Calls fn on processors 0 to @count - 1 at once; returns after the last. */
void smp_call_all(unsigned int count, void (*fn)(unsigned int cpu, void *arg),
		  void *arg);

/* Where a processor goes once the architecture has started it. */
void smp_loop(unsigned int cpu) __attribute__((noreturn));

#endif
