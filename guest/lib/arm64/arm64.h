/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the arm64 files of the library share.
 */
#ifndef GUEST_ARM64_H
#define GUEST_ARM64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/lib/machine.h"
#include "guest/lib/arm64/layout.h"

/*
 * A hypercall (SMC Calling Convention, Arm DEN 0028): fn and up to three
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

/* A node of the device tree, with the properties that guests look at. */
struct fdt_node {
	const char *name;
	const char *device_type; /* "" where there is none */
	const char *compatible; /* strings, one after the other */
	uint32_t compatible_bytes;
	const uint8_t *reg;
	uint32_t reg_bytes;
	unsigned int address_cells, size_cells; /* of its parent */
	const char *bootargs; /* NULL where there is none */
	struct range initrd;
	const uint8_t *bus_range;
};

/* How long the block is; 0 when it is no device tree. */
uint32_t fdt_bytes(const void *fdt);

/* Calls visit() for each node; a block that is no device tree has none. */
void fdt_walk(const void *fdt,
	      void (*visit)(const struct fdt_node *node, void *ctx), void *ctx);

/* Whether @node says that it is compatible with @what. */
bool fdt_is(const struct fdt_node *node, const char *what);

/* The pair (address, size) number @index of reg; false behind the last. */
bool fdt_reg(const struct fdt_node *node, unsigned int index, uint64_t *address,
	     uint64_t *size);

/* Where text goes; the 16550's scratch register or 0. */
void serial_init(const struct fdt_node *node);
uintptr_t serial_scratch(void);

/* The interrupt controller's parts, 0 where not found. */
struct gic_places {
	uint64_t distributor, redistributors, its;
};
const struct gic_places *gic_places(void);

/* A handler for interrupts, on the stack of what they interrupted. */
void irq_handle(void (*fn)(void));

#endif
