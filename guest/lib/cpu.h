/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a payload asks of the processor, whichever it is: time, exits, an end.
 * Each architecture implements these under lib/<arch>.
 */
#ifndef GUEST_CPU_H
#define GUEST_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct machine;

/* The free-running counter, ordered after what came before. */
uint64_t cpu_counter(void);

/*
 * The hypervisor's clock: a page that it keeps up to date for each processor
 * whenever that enters the guest.  Both are called on processor @cpu.  The time
 * in nanoseconds; 0: there is none, or it has not been started.
 */
void cpu_clock_page_start(unsigned int cpu);
uint64_t cpu_clock_page_ns(unsigned int cpu);

/* For loops that wait for another processor. */
void cpu_relax(void);

/* The ends of a guest.  None of them returns. */
void power_off(void) __attribute__((noreturn));
void reset(void) __attribute__((noreturn));
/* Leaves the machine in a state that no hypervisor can run on. */
void crash(void) __attribute__((noreturn));

/* A way to leave the guest and come back, to be timed. */
struct exit_kind {
	const char *name;
	/* Once; @arg is what @find returned. */
	void (*once)(uintptr_t arg);
	/* The argument of once() on this machine; 0: it cannot be done. */
	uintptr_t (*find)(const struct machine *machine);
};
const struct exit_kind *exit_kinds(size_t *count);

/*
 * One access of @size_bytes (1, 2, 4, 8) to a device, read or write, by one
 * instruction; aligned down where the architecture must have it so.
 */
uint64_t mmio_access(uint64_t address, unsigned int size_bytes, bool is_write,
		     uint64_t value);

/*
 * Fills the vector registers with what follows from @seed; whether they still
 * hold it.  Nothing else in a guest uses them.
 */
void vectors_fill(uint64_t seed);
bool vectors_hold(uint64_t seed);

/* Starts processor @index, which calls smp_loop(@index). */
void cpu_start(const struct machine *machine, unsigned int index);

#endif
