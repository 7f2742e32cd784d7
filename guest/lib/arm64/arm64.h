/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the arm64 files of the library. */
#ifndef GUEST_ARM64_H
#define GUEST_ARM64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/lib/machine.h"
#include "guest/lib/arm64/layout.h"

/*
 * A hypercall (SMC Calling Convention, Arm DEN 0028): fn, up to three
 * arguments, up to four results.
 */
struct hvc_result {
	uint64_t x0, x1, x2, x3;
};
struct hvc_result hvc(uint64_t fn, uint64_t a, uint64_t b, uint64_t c);

/* PSCI functions (Arm DEN 0022, 5.1). */
#define PSCI_VERSION	  0x84000000
#define PSCI_CPU_ON	  0xc4000003
#define PSCI_SYSTEM_OFF	  0x84000008
#define PSCI_SYSTEM_RESET 0x84000009

/* A system register by its name. */
#define sysreg_read(name)                                                   \
	({                                                                  \
		uint64_t value_;                                            \
		__asm__ volatile("mrs %0, " name : "=r"(value_)::"memory"); \
		value_;                                                     \
	})
#define sysreg_write(name, value)                                           \
	__asm__ volatile("msr " name ", %0\n\tisb" ::"r"((uint64_t)(value)) \
			 : "memory")

/* A device tree node, with the properties that guests use. */
struct fdt_node {
	const char *name;
	const char *device_type; /* "" if absent */
	const char *compatible; /* strings, NUL-separated */
	uint32_t compatible_bytes;
	const uint8_t *reg;
	uint32_t reg_bytes;
	unsigned int address_cells, size_cells; /* of its parent */
	const char *bootargs; /* NULL if absent */
	struct range initrd;
	const uint8_t *bus_range;
};

/* Length of the block; 0: not a device tree. */
uint32_t fdt_bytes(const void *fdt);

/* Calls visit() for each node; for none if the block is not a device tree. */
void fdt_walk(const void *fdt,
	      void (*visit)(const struct fdt_node *node, void *ctx), void *ctx);

/* Whether @node is compatible with @what. */
bool fdt_is(const struct fdt_node *node, const char *what);

/* Element @index (address, size) of reg; false after the last. */
bool fdt_reg(const struct fdt_node *node, unsigned int index, uint64_t *address,
	     uint64_t *size);

/* Initialises the serial port; the 16550's scratch register, or 0. */
void serial_init(const struct fdt_node *node);
uintptr_t serial_scratch(void);

/* Addresses of the interrupt controller, 0: not found. */
struct gic_places {
	uint64_t distributor, redistributors, its;
};
const struct gic_places *gic_places(void);

/* The interrupt handler, on the interrupted stack. */
void irq_handle(void (*fn)(void));

#endif
