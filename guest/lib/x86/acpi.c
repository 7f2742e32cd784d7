/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI tables (ACPI 6.5, 5.2): MADT for processors, MCFG for PCI, FADT for
 * power off and reset.  Parsed once, by the first processor.
 */
#include "guest/lib/cpu.h"
#include "guest/lib/string.h"
#include "guest/lib/x86/x86.h"

struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision, creator, creator_revision;
} __attribute__((packed));

/* Generic Address Structure (5.2.3.2). */
struct address {
	uint8_t space, bits, offset, size;
	uint64_t address;
} __attribute__((packed));

#define SPACE_MEMORY 0
#define SPACE_IO     1

/* Offsets in the FADT (5.2.9). */
#define FADT_DSDT	   40
#define FADT_PM1A_CONTROL  64
#define FADT_FLAGS	   112
#define FADT_RESET	   116
#define FADT_RESET_VALUE   128
#define FADT_X_DSDT	   140
#define FADT_SLEEP_CONTROL 244
#define FLAG_RESET	   (1u << 10)

/* Sleep control (4.8.3.7) and PM1 control (4.8.3.2.1): position of the type. */
#define SLEEP_TYPE_SHIFT 2
#define SLEEP_ENABLE	 (1u << 5)
#define PM1_TYPE_SHIFT	 10
#define PM1_ENABLE	 (1u << 13)

/* Power registers from FADT and DSDT; address 0: none. */
static struct {
	struct address sleep, reset;
	uint16_t pm1a;
	uint8_t reset_value, s5;
} power;

/* Writes a byte to memory or a port. */
static void address_write(const struct address *to, uint8_t value)
{
	if (to->space == SPACE_IO)
		out8((uint16_t)to->address, value);
	else if (to->space == SPACE_MEMORY)
		*(volatile uint8_t *)phys(to->address) = value;
}

void power_off(void)
{
	if (power.sleep.address)
		address_write(&power.sleep,
			      (uint8_t)(power.s5 << SLEEP_TYPE_SHIFT |
					SLEEP_ENABLE));
	if (power.pm1a)
		out16(power.pm1a,
		      (uint16_t)(power.s5 << PM1_TYPE_SHIFT | PM1_ENABLE));
	/* No register worked: crash rather than run forever. */
	crash();
}

void reset(void)
{
	if (power.reset.address)
		address_write(&power.reset, power.reset_value);
	out8(0x64, 0xfe); /* the keyboard controller's reset line */
	crash();
}

/* Finds the sleep type in the package \_S5 (7.4.2) by its AML bytes. */
static uint8_t find_s5(const struct header *dsdt)
{
	const uint8_t *aml = (const uint8_t *)dsdt;

	for (uint32_t i = sizeof(*dsdt); i + 8 < dsdt->length; i++) {
		/* NameOp, name, PackageOp, length, count, BytePrefix, value */
		if (memcmp(aml + i, "_S5_\x12", 5))
			continue;
		return aml[i + 7] == 0x0a ? aml[i + 8] : aml[i + 7];
	}
	return 5;
}

static void read_fadt(const struct header *fadt)
{
	const uint8_t *bytes = (const uint8_t *)fadt;
	uint64_t dsdt = 0;
	uint32_t flags, low;

	memcpy(&flags, bytes + FADT_FLAGS, 4);
	memcpy(&low, bytes + FADT_DSDT, 4);
	memcpy(&power.pm1a, bytes + FADT_PM1A_CONTROL, 2);
	if (fadt->length > FADT_RESET_VALUE && flags & FLAG_RESET) {
		memcpy(&power.reset, bytes + FADT_RESET, 12);
		power.reset_value = bytes[FADT_RESET_VALUE];
	}
	if (fadt->length >= FADT_X_DSDT + 8)
		memcpy(&dsdt, bytes + FADT_X_DSDT, 8);
	if (fadt->length >= FADT_SLEEP_CONTROL + 12)
		memcpy(&power.sleep, bytes + FADT_SLEEP_CONTROL, 12);
	power.s5 = 5;
	if (dsdt || low)
		power.s5 = find_s5(phys(dsdt ? dsdt : low));
}

/* Adds an enabled processor; the boot processor becomes the first. */
static void add_cpu(struct machine *machine, uint32_t id, uint32_t flags)
{
	if (!(flags & 1) || machine->cpu_count == MACHINE_CPUS_MAX ||
	    id == machine->cpu_hwid[0])
		return;
	machine->cpu_hwid[machine->cpu_count++] = id;
}

/* Local APIC (type 0) and local x2APIC (type 9) entries (5.2.12). */
static void read_madt(struct machine *machine, const struct header *madt)
{
	const uint8_t *bytes = (const uint8_t *)madt;
	uint32_t id, flags;

	for (uint32_t i = 44; i + 2 <= madt->length && bytes[i + 1] >= 2;
	     i += bytes[i + 1]) {
		if (bytes[i] == 0) {
			memcpy(&flags, bytes + i + 4, 4);
			add_cpu(machine, bytes[i + 3], flags);
		} else if (bytes[i] == 9) {
			memcpy(&id, bytes + i + 4, 4);
			memcpy(&flags, bytes + i + 8, 4);
			add_cpu(machine, id, flags);
		}
	}
}

/* The first allocation of MCFG (PCI Firmware Specification 4.1.2). */
static void read_mcfg(struct machine *machine, const struct header *mcfg)
{
	const uint8_t *bytes = (const uint8_t *)mcfg;

	if (mcfg->length < 60)
		return;
	memcpy(&machine->ecam, bytes + 44, 8);
	machine->bus_first = bytes[54];
	machine->bus_last = bytes[55];
}

static void read_table(struct machine *machine, const struct header *table)
{
	if (!memcmp(table->signature, "APIC", 4))
		read_madt(machine, table);
	else if (!memcmp(table->signature, "MCFG", 4))
		read_mcfg(machine, table);
	else if (!memcmp(table->signature, "FACP", 4))
		read_fadt(table);
}

void acpi_init(struct machine *machine, uint64_t rsdp)
{
	const uint8_t *root = phys(rsdp);
	const struct header *list;
	uint64_t at = 0;
	uint32_t entry_bytes = 4;

	machine->cpu_count = 1;
	machine->cpu_hwid[0] = apic_read(APIC_ID) >> 24;
	if (!rsdp)
		return;
	machine->tables = "ACPI";
	/* RSDP (5.2.5.3): XSDT since revision 2, else RSDT. */
	if (root[15] >= 2) {
		memcpy(&at, root + 24, 8);
		entry_bytes = 8;
	}
	if (!at) {
		memcpy(&at, root + 16, 4);
		entry_bytes = 4;
	}
	list = phys(at);
	for (uint32_t i = sizeof(*list); i + entry_bytes <= list->length;
	     i += entry_bytes) {
		at = 0;
		memcpy(&at, (const uint8_t *)list + i, entry_bytes);
		read_table(machine, phys(at));
	}
}
