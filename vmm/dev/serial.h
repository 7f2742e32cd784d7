/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One 16550A serial port (National Semiconductor PC16550D data sheet), eight
 * registers at consecutive addresses, interrupt driven.  The guest sees FIFOs
 * of 16 bytes; larger buffers are behind them.
 */
#ifndef VMM_DEV_SERIAL_H
#define VMM_DEV_SERIAL_H

#include <stdint.h>

#include "vmm/bus/device.h"

struct bus;
struct irqs;
struct loop;
struct terminal;

struct serial_config {
	struct bus *bus; /* MMIO or ports */
	uint64_t base;
	struct irqs *irqs;
	uint32_t gsi;
	struct loop *loop;
	struct terminal *terminal; /* NULL: output is dropped */
};

/* Fills *@device; 0, or -errno, which is logged. */
int serial_create(struct device *device, const char *name,
		  const struct serial_config *config);

#endif
