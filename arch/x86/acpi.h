/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's ACPI tables (ACPI 6.5, hardware-reduced): RSDP, XSDT, FADT, MADT,
 * MCFG and DSDT, in one block that starts with the RSDP.
 *
 * One thread.
 */
#ifndef ARCH_X86_ACPI_H
#define ARCH_X86_ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/mem/plan.h"

struct aml;
struct layout;

struct acpi_config {
	unsigned int cpu_count;
	const struct layout *layout;
	bool has_serial;
	gpa_t base_gpa; /* of the block; 16-byte aligned */
	gpa_t generation_gpa; /* the 16-byte generation id */
};

/* Writes the block to @to; returns its length, or -ENOSPC. Silent. */
int acpi_build(const struct acpi_config *config, uint8_t *to, size_t room);

/* Adds the block to the plan at base_gpa; -errno, logged. */
int acpi_add(struct plan *plan, const struct acpi_config *config);

/* Writes the term list of the DSDT. */
void dsdt_write(const struct acpi_config *config, struct aml *aml);

#endif
