/* SPDX-License-Identifier: BSD-2-Clause */
/* Machines of any size, for the tests of the device tree. */
#ifndef TESTS_UNIT_ARM64_FDT_SAMPLE_H
#define TESTS_UNIT_ARM64_FDT_SAMPLE_H

#include <string.h>

#include "arch/arm64/fdt.h"
#include "arch/arm64/layout.h"
#include "vmm/base/bytes.h"

#define SAMPLE_RAM_BYTES    (5 * GIB)
#define SAMPLE_INITRD_GPA   UINT64_C(0x178000000)
#define SAMPLE_INITRD_BYTES UINT64_C(12345)
#define SAMPLE_KASLR	    UINT64_C(0x0123456789abcdef)

/* A configuration and what it points to. */
struct fdt_sample {
	struct fdt_config config;
	struct layout layout;
	struct memory_range range;
	uint64_t mpidrs[MACHINE_CPUS_MAX];
	uint8_t seed[FDT_RNG_SEED_BYTES];
};

/* A machine of @cpus with all optional parts. */
static inline void fdt_sample_init(struct fdt_sample *s, unsigned int cpus)
{
	memset(s, 0, sizeof(*s));
	arch_layout(&s->layout);
	s->range = (struct memory_range){ ARM64_RAM_GPA, SAMPLE_RAM_BYTES };
	/* As in KVM: 16 for each cluster, bit 31 always set. */
	for (unsigned int i = 0; i < MACHINE_CPUS_MAX; i++)
		s->mpidrs[i] = UINT64_C(0x80000000) | (i >> 4) << 8 | (i & 15);
	for (size_t i = 0; i < sizeof(s->seed); i++)
		s->seed[i] = (uint8_t)(i * 7 + 1);
	s->config = (struct fdt_config){
		.layout = &s->layout,
		.ranges = &s->range,
		.range_count = 1,
		.mpidrs = s->mpidrs,
		.cpu_count = cpus,
		.cmdline = "console=ttyS0 quiet",
		.initrd_gpa = SAMPLE_INITRD_GPA,
		.initrd_bytes = SAMPLE_INITRD_BYTES,
		.has_serial = true,
		.has_pmu = true,
		.kaslr_seed = SAMPLE_KASLR,
		.rng_seed = s->seed,
	};
}

#endif
