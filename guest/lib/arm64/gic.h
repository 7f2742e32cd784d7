/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A minimal GICv3 driver (Arm IHI 0069): this processor's redistributor and
 * interface.
 */
#ifndef GUEST_ARM64_GIC_H
#define GUEST_ARM64_GIC_H

#include <stdint.h>

/* Enables the distributor and this processor's interface, for group 1. */
void gic_enable(void);

/* This processor's redistributor; 0: none. */
uint64_t gic_redistributor(void);

/* Enables private interrupt @id (below 32) on this processor. */
void gic_enable_private(unsigned int id);

/* Acknowledges the pending interrupt of highest priority (1023: none); EOI. */
uint64_t gic_acknowledge(void);
void gic_end(uint64_t id);

static inline volatile uint32_t *reg32(uint64_t at)
{
	return (volatile uint32_t *)(uintptr_t)at;
}

static inline volatile uint64_t *reg64(uint64_t at)
{
	return (volatile uint64_t *)(uintptr_t)at;
}

#endif
