/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine as a guest finds it, by ACPI or by a device tree.  Filled by the
 * architecture before the payload runs; nothing of the tables is used later.
 */
#ifndef GUEST_MACHINE_H
#define GUEST_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#define MACHINE_RAM_MAX	 16
#define MACHINE_CPUS_MAX 255

struct range {
	uint64_t start, end; /* end is the first byte behind it */
};

struct machine {
	const char *arch;
	char cpu_name[64];
	char hypervisor[16];
	const char *tables; /* "ACPI", "device tree" */
	char cmdline[1024];
	/* Usable RAM, in the order given. */
	unsigned int ram_count;
	struct range ram[MACHINE_RAM_MAX];
	/* What was put there for the guest; end 0: none. */
	struct range initrd, device_tree;
	/* Processors that may be started; [0] is the one that booted. */
	unsigned int cpu_count;
	uint64_t cpu_hwid[MACHINE_CPUS_MAX];
	/* PCI configuration space; ecam 0: none. */
	uint64_t ecam;
	unsigned int bus_first, bus_last;
	/* Cycles of cpu_counter() in a second, 0: not known; who said so. */
	uint64_t counter_hz;
	const char *counter_source;
};

/* What a payload is: runs on the first processor, and powers off by returning. */
void payload_main(struct machine *machine);

/* A counter in microseconds; its rate is known. */
uint64_t machine_counter_us(const struct machine *machine, uint64_t counter);

/* All of the RAM, in bytes. */
uint64_t machine_ram_bytes(const struct machine *machine);

/*
 * The RAM that a payload may use, and that nothing has been put into: in the
 * range that holds the image, behind it, at a 2 MiB boundary.
 */
struct range machine_free_ram(const struct machine *machine);

/*
 * The value of name=value on the kernel command line as a number, @otherwise
 * when it is not there; whether a string value is @wanted.
 */
uint64_t arg_number(const struct machine *machine, const char *name,
		    uint64_t otherwise);
bool arg_is(const struct machine *machine, const char *name,
	    const char *wanted);

#endif
