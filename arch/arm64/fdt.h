/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The flattened device tree of an arm64 machine (Devicetree Specification 0.4;
 * fdt.c names the Linux bindings).
 *
 * A pure function of its configuration: no KVM, no clock, no random numbers.
 */
#ifndef ARCH_ARM64_FDT_H
#define ARCH_ARM64_FDT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/arch.h"

#define FDT_RNG_SEED_BYTES 64

/* Limit of the boot protocol (booting.rst). */
#define ARM64_FDT_BYTES_MAX (UINT64_C(2) << 20)

struct fdt_config {
	const struct layout *layout;
	const struct memory_range *ranges; /* RAM */
	unsigned int range_count;
	const uint64_t *mpidrs; /* MPIDR_EL1 of each vCPU */
	unsigned int cpu_count;
	const char *cmdline;
	gpa_t initrd_gpa;
	uint64_t initrd_bytes; /* 0: none */
	bool has_serial;
	bool has_pmu;
	uint64_t kaslr_seed;
	const uint8_t *rng_seed; /* FDT_RNG_SEED_BYTES */
};

/*
 * Builds the tree into a new block that the caller frees; *@len_bytes is its
 * length. -ENOMEM, or -EFBIG if the command line is too long; logged.
 */
int arm64_fdt_build(const struct fdt_config *config, void **fdt,
		    size_t *len_bytes);

#endif
