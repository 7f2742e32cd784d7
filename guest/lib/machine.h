/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine as described by ACPI or by a device tree.  The architecture fills
 * it in before the payload runs; the tables are not used later.
 */
#ifndef GUEST_MACHINE_H
#define GUEST_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#define MACHINE_RAM_MAX	 16
#define MACHINE_CPUS_MAX 255

struct range {
	uint64_t start, end; /* end is exclusive */
};

struct machine {
	const char *arch;
	char cpu_name[64];
	char hypervisor[16];
	const char *tables; /* "ACPI", "device tree" */
	char cmdline[1024];
	/* Usable RAM. */
	unsigned int ram_count;
	struct range ram[MACHINE_RAM_MAX];
	/* Loaded for the guest; end 0: none. */
	struct range initrd, device_tree;
	/* Processors; [0] is the boot processor. */
	unsigned int cpu_count;
	uint64_t cpu_hwid[MACHINE_CPUS_MAX];
	/* PCI configuration space; ecam 0: none. */
	uint64_t ecam;
	unsigned int bus_first, bus_last;
	/* Frequency of cpu_counter(), 0: unknown; and its source. */
	uint64_t counter_hz;
	const char *counter_source;
};

/* The payload: runs on the first processor; returning powers off. */
void payload_main(struct machine *machine);

/* Converts a counter value to microseconds; the frequency is known. */
uint64_t machine_counter_us(const struct machine *machine, uint64_t counter);

uint64_t machine_ram_bytes(const struct machine *machine);

/* Unused RAM: in the range with the image, behind it, at a 2 MiB boundary. */
struct range machine_free_ram(const struct machine *machine);

/*
 * The value of name=value on the kernel command line as a number, @otherwise if
 * absent; and whether a string value is @wanted.
 */
uint64_t arg_number(const struct machine *machine, const char *name,
		    uint64_t otherwise);
bool arg_is(const struct machine *machine, const char *name,
	    const char *wanted);

#endif
