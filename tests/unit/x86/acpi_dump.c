/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes the ACPI tables of a machine, one file for each, for iasl.sh:
 * acpi_dump FOLDER CPUS
 */
#include <stdio.h>
#include <stdlib.h>

#include "arch/x86/acpi.h"
#include "arch/x86/x86.h"

/* Writes the table at @p to FOLDER/<signature>.aml. */
static int dump(const char *folder, const uint8_t *p)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%.4s.aml", folder, (const char *)p);
	f = fopen(path, "w");
	if (!f || fwrite(p, get_le32(p + 4), 1, f) != 1 || fclose(f)) {
		perror(path);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static uint8_t block[X86_ACPI_BYTES];
	struct layout layout;
	struct acpi_config config = {
		.layout = &layout,
		.has_serial = true,
		.base_gpa = X86_ACPI,
		.generation_gpa = X86_GENERATION_ID,
	};
	const uint8_t *xsdt;
	int err = 0;

	if (argc != 3)
		return 64;
	arch_layout(&layout);
	config.cpu_count = (unsigned int)strtoul(argv[2], NULL, 10);
	if (acpi_build(&config, block, sizeof(block)) < 0)
		return 1;
	xsdt = block + (get_le64(block + 24) - X86_ACPI);
	err |= dump(argv[1], xsdt);
	for (size_t at = 36; at < get_le32(xsdt + 4); at += 8) {
		const uint8_t *p = block + (get_le64(xsdt + at) - X86_ACPI);

		err |= dump(argv[1], p);
		if (memcmp(p, "FACP", 4) == 0)
			err |= dump(argv[1],
				    block + (get_le64(p + 140) - X86_ACPI));
	}
	return err;
}
