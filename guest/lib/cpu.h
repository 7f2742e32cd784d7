/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Processor functions for payloads: time, exits, shutdown.  Each architecture
 * implements these in lib/<arch>.
 */
#ifndef GUEST_CPU_H
#define GUEST_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct machine;

/* The free-running counter, ordered after earlier instructions. */
uint64_t cpu_counter(void);

/*
 * The hypervisor's clock page, which it updates when a processor enters the
 * guest.  Both are called on processor @cpu.  Returns nanoseconds; 0: no clock
 * page, or not started.
 */
void cpu_clock_page_start(unsigned int cpu);
uint64_t cpu_clock_page_ns(unsigned int cpu);

/* For loops that wait for another processor. */
void cpu_relax(void);

/* Shutdown; these do not return. */
void power_off(void) __attribute__((noreturn));
void reset(void) __attribute__((noreturn));
/* Puts the processor into a state in which it cannot run. */
void crash(void) __attribute__((noreturn));

/* A kind of exit, to be measured. */
struct exit_kind {
	const char *name;
	/* Causes one exit; @arg is the result of @find. */
	void (*once)(uintptr_t arg);
	/* The argument of once() on this machine; 0: not possible. */
	uintptr_t (*find)(const struct machine *machine);
};
const struct exit_kind *exit_kinds(size_t *count);

/*
 * One device access of @size_bytes (1, 2, 4, 8) by one instruction; aligned
 * down where the architecture requires it.
 */
uint64_t mmio_access(uint64_t address, unsigned int size_bytes, bool is_write,
		     uint64_t value);

/*
 * Fills the vector registers from @seed, and checks them.  Guests do not use
 * them otherwise.
 */
void vectors_fill(uint64_t seed);
bool vectors_hold(uint64_t seed);

/* Starts processor @index, which calls smp_loop(@index). */
void cpu_start(const struct machine *machine, unsigned int index);

#endif
