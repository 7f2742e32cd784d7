/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by the x86 files of the library: instructions, calls at CPL 0, steps
 * of the machine set-up.
 */
#ifndef GUEST_X86_H
#define GUEST_X86_H

#include <stdbool.h>
#include <stdint.h>

#include "guest/lib/machine.h"
#include "guest/lib/x86/layout.h"

/*
 * Calls fn(arg) at CPL 0, with interrupts off, on the trap stack; returns its
 * result.  Keep fn short and without library calls: CPL 0 may be a thousand
 * times slower than CPL 3.
 */
uint64_t ring0(uint64_t (*fn)(uint64_t arg), uint64_t arg);

/* Model-specific registers, through ring0(); a missing one traps. */
uint64_t msr_read(uint32_t msr);
void msr_write(uint32_t msr, uint64_t value);

/* A pointer from a physical address: the mapping is one to one. */
static inline void *phys(uint64_t address)
{
	return (void *)(uintptr_t)address;
}

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

/*
 * A CPUID leaf of the hypervisor, read at CPL 0: at CPL 3 the processor may
 * execute CPUID natively.
 */
struct cpuid cpuid(uint32_t leaf, uint32_t subleaf);

/* The local APIC's registers, as memory (SDM 3A, 11.4.1). */
#define APIC_BASE 0xfee00000
#define APIC_ID	  0x020

static inline uint32_t apic_read(uint32_t reg)
{
	return *(volatile uint32_t *)(uintptr_t)(APIC_BASE + reg);
}

static inline void apic_write(uint32_t reg, uint32_t value)
{
	*(volatile uint32_t *)(uintptr_t)(APIC_BASE + reg) = value;
}

static inline void out8(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port) : "memory");
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline void out16(uint16_t port, uint16_t v)
{
	__asm__ volatile("outw %0, %1" ::"a"(v), "Nd"(port) : "memory");
}

static inline void out32(uint16_t port, uint32_t v)
{
	__asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(port) : "memory");
}

/* Maps addresses from 4 GiB to @end, one to one. */
void paging_extend(uint64_t end);

/* Finds processors and ECAM, and stores the power registers. */
void acpi_init(struct machine *machine, uint64_t rsdp);

/* Sets counter_hz and counter_source from the TSC. */
void clock_init(struct machine *machine);

/* Sets the handler of an interrupt vector, run at CPL 0; NULL: none. */
void trap_handle(unsigned int vector, void (*fn)(void));

#endif
