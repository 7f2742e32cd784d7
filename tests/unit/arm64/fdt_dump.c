/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fdt_dump FILE CPUS [bare] - writes the device tree of a machine into FILE;
 * `bare': with no serial port, PMU and initrd.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/arm64/fdt_sample.h"

int main(int argc, char **argv)
{
	struct fdt_sample sample;
	size_t len;
	void *fdt;
	FILE *to;

	if (argc < 3)
		return 64;
	fdt_sample_init(&sample, (unsigned int)atoi(argv[2]));
	if (argc > 3) {
		sample.config.has_serial = false;
		sample.config.has_pmu = false;
		sample.config.initrd_bytes = 0;
	}
	if (arm64_fdt_build(&sample.config, &fdt, &len) != 0)
		return 1;
	to = fopen(argv[1], "wb");
	if (to == NULL || fwrite(fdt, 1, len, to) != len || fclose(to) != 0) {
		perror(argv[1]);
		return 1;
	}
	free(fdt);
	return 0;
}
