/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the PVH entry to the payload: parses the start info (Xen
 * public/arch-x86/hvm/start_info.h) and its tables, reads the names from CPUID.
 */
#include "guest/lib/console.h"
#include "guest/lib/cpu.h"
#include "guest/lib/print.h"
#include "guest/lib/string.h"
#include "guest/lib/x86/x86.h"

#define START_MAGIC 0x336ec578
#define MAP_RAM	    1

struct start_info {
	uint32_t magic, version, flags, module_count;
	uint64_t modules, cmdline, rsdp;
	/* since version 1 */
	uint64_t map;
	uint32_t map_count, reserved;
};

struct map_entry {
	uint64_t start, bytes;
	uint32_t type, reserved;
};

void x86_first_cpu(const struct start_info *start);

struct module {
	uint64_t start, bytes, cmdline, reserved;
};

/* Adds the RAM of the memory map; returns its highest end. */
static uint64_t read_map(struct machine *machine,
			 const struct start_info *start)
{
	const struct map_entry *map = phys(start->map);
	uint64_t end = 0;

	if (start->version < 1)
		return 0;
	for (uint32_t i = 0; i < start->map_count; i++) {
		struct range range = { map[i].start,
				       map[i].start + map[i].bytes };

		if (map[i].type != MAP_RAM ||
		    machine->ram_count == MACHINE_RAM_MAX)
			continue;
		machine->ram[machine->ram_count++] = range;
		if (range.end > end)
			end = range.end;
	}
	return end;
}

/* The initrd is the first module. */
static void read_initrd(struct machine *machine, const struct start_info *start)
{
	const struct module *module = phys(start->modules);

	if (start->module_count && module)
		machine->initrd =
			(struct range){ module->start,
					module->start + module->bytes };
}

/* Names of processor (leaves 0x80000002 to 4) and hypervisor. */
static void read_names(struct machine *machine)
{
	struct cpuid part = cpuid(0, 0);
	char name[49] = { 0 }, *s = name;

	/* The vendor replaces a missing hypervisor name. */
	memcpy(machine->cpu_name, &part.ebx, 4);
	memcpy(machine->cpu_name + 4, &part.edx, 4);
	memcpy(machine->cpu_name + 8, &part.ecx, 4);
	if (cpuid(0x80000000, 0).eax >= 0x80000004) {
		for (uint32_t i = 0; i < 3; i++) {
			part = cpuid(0x80000002 + i, 0);
			memcpy(name + i * 16, &part, 16);
		}
	}
	while (*s == ' ')
		s++;
	if (*s)
		string_copy(machine->cpu_name, s, sizeof(machine->cpu_name));
	if (!(cpuid(1, 0).ecx & 1u << 31))
		return;
	part = cpuid(0x40000000, 0);
	memcpy(machine->hypervisor, &part.ebx, 12);
	if (!strcmp(machine->hypervisor, "KVMKVMKVM"))
		string_copy(machine->hypervisor, "KVM",
			    sizeof(machine->hypervisor));
}

/* Searches for the RSDP if the start info has none (ACPI 6.5, 5.2.5.1). */
static uint64_t find_rsdp(void)
{
	for (uint64_t at = 0xe0000; at < 0x100000; at += 16)
		if (!memcmp(phys(at), "RSD PTR ", 8))
			return at;
	return 0;
}

void x86_first_cpu(const struct start_info *start)
{
	static struct machine machine;

	machine.arch = "x86-64";
	read_names(&machine);
	if (start->magic == START_MAGIC) {
		paging_extend(read_map(&machine, start));
		if (start->cmdline)
			string_copy(machine.cmdline, phys(start->cmdline),
				    sizeof(machine.cmdline));
		read_initrd(&machine, start);
		acpi_init(&machine, start->rsdp ? start->rsdp : find_rsdp());
	}
	console_init(&machine);
	clock_init(&machine);
	payload_main(&machine);
	power_off();
}
