/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the Image entry to the payload: parses the device tree, finds the names
 * of processor and hypervisor.
 */
#include "guest/lib/console.h"
#include "guest/lib/cpu.h"
#include "guest/lib/print.h"
#include "guest/lib/smp.h"
#include "guest/lib/string.h"
#include "guest/lib/arm64/arm64.h"

/* Vendor hypervisor service call UID, and the first word of KVM's. */
#define HYPERVISOR_UID 0x8600ff01
#define KVM_UID_FIRST  0xb66fb428

void arm64_first_cpu(const void *fdt);

static struct gic_places gic;

const struct gic_places *gic_places(void)
{
	return &gic;
}

/* RAM of a memory node. */
static void read_memory(struct machine *machine, const struct fdt_node *node)
{
	uint64_t start, bytes;

	for (unsigned int i = 0; fdt_reg(node, i, &start, &bytes); i++)
		if (machine->ram_count < MACHINE_RAM_MAX && bytes)
			machine->ram[machine->ram_count++] =
				(struct range){ start, start + bytes };
}

/* Adds a processor; the boot processor is already in the list. */
static void read_cpu(struct machine *machine, const struct fdt_node *node)
{
	uint64_t id, none;

	if (fdt_reg(node, 0, &id, &none) && id != machine->cpu_hwid[0] &&
	    machine->cpu_count < MACHINE_CPUS_MAX)
		machine->cpu_hwid[machine->cpu_count++] = id;
}

static void read_pci(struct machine *machine, const struct fdt_node *node)
{
	uint64_t bytes;

	if (!fdt_reg(node, 0, &machine->ecam, &bytes))
		return;
	machine->bus_first = node->bus_range ? node->bus_range[3] : 0;
	machine->bus_last =
		machine->bus_first + (unsigned int)(bytes >> 20) - 1;
}

/* The interrupt controller: distributor and redistributors. */
static void read_gic(const struct fdt_node *node)
{
	uint64_t bytes;

	fdt_reg(node, 0, &gic.distributor, &bytes);
	fdt_reg(node, 1, &gic.redistributors, &bytes);
}

static void visit(const struct fdt_node *node, void *ctx)
{
	struct machine *machine = ctx;
	uint64_t bytes;

	if (node->bootargs)
		string_copy(machine->cmdline, node->bootargs,
			    sizeof(machine->cmdline));
	if (node->initrd.end)
		machine->initrd = node->initrd;
	if (!strcmp(node->device_type, "memory"))
		read_memory(machine, node);
	else if (!strcmp(node->device_type, "cpu"))
		read_cpu(machine, node);
	else if (fdt_is(node, "pci-host-ecam-generic"))
		read_pci(machine, node);
	else if (fdt_is(node, "arm,gic-v3"))
		read_gic(node);
	else if (fdt_is(node, "arm,gic-v3-its"))
		fdt_reg(node, 0, &gic.its, &bytes);
	else
		serial_init(node);
}

/* The processor's vendor (MIDR_EL1, Arm ARM D17.2.100). */
static const char *implementer(unsigned int code)
{
	static const struct {
		unsigned int code;
		const char *name;
	} known[] = {
		{ 0x00, "software" }, { 0x41, "Arm" },
		{ 0x42, "Broadcom" }, { 0x43, "Cavium" },
		{ 0x46, "Fujitsu" },  { 0x48, "HiSilicon" },
		{ 0x4e, "NVIDIA" },   { 0x51, "Qualcomm" },
		{ 0x61, "Apple" },    { 0x6d, "Microsoft" },
		{ 0xc0, "Ampere" },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].code == code)
			return known[i].name;
	return "unnamed";
}

static void read_names(struct machine *machine)
{
	unsigned int midr = (unsigned int)sysreg_read("midr_el1");

	print_into(machine->cpu_name, sizeof(machine->cpu_name),
		   "%s processor, part 0x%03x r%up%u", implementer(midr >> 24),
		   midr >> 4 & 0xfff, midr >> 20 & 0xf, midr & 0xf);
	if ((uint32_t)hvc(HYPERVISOR_UID, 0, 0, 0).x0 == KVM_UID_FIRST)
		string_copy(machine->hypervisor, "KVM",
			    sizeof(machine->hypervisor));
}

void arm64_first_cpu(const void *fdt)
{
	static struct machine machine;

	machine.arch = "arm64";
	machine.cpu_count = 1;
	machine.cpu_hwid[0] = sysreg_read("mpidr_el1") & 0xff00ffffff;
	machine.device_tree.start = (uintptr_t)fdt;
	machine.device_tree.end = (uintptr_t)fdt + fdt_bytes(fdt);
	fdt_walk(fdt, visit, &machine);
	if (machine.ram_count)
		machine.tables = "device tree";
	console_init(&machine);
	read_names(&machine);
	machine.counter_hz = sysreg_read("cntfrq_el0");
	machine.counter_source = "CNTFRQ_EL0";
	payload_main(&machine);
	power_off();
}
