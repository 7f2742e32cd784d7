/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ACPI tables; dsdt.c has the contents of the DSDT.
 *
 * One thread.  All tables are written to one bounded buffer, and refer to each
 * other by guest physical address.  Sections are those of the ACPI
 * specification 6.5.
 */
#include "arch/x86/acpi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/aml.h"
#include "arch/x86/power.h"
#include "arch/x86/x86.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"

#define RSDP_BYTES   36
#define HEADER_BYTES 36
#define XSDT_TABLES  3
#define FADT_BYTES   276
#define MCFG_BYTES   60

/* 5.2.9: offsets, and the flags of the FADT. */
#define FADT_DSDT	      40
#define FADT_IAPC_BOOT_ARCH   109
#define FADT_FLAGS	      112
#define FADT_RESET_REG	      116
#define FADT_RESET_VALUE      128
#define FADT_MINOR	      131
#define FADT_X_DSDT	      140
#define FADT_SLEEP_CONTROL    244
#define FADT_SLEEP_STATUS     256
#define FADT_HYPERVISOR	      268
#define FADT_WBINVD	      0x1
#define FADT_PROC_C1	      0x4
#define FADT_PWR_BUTTON	      0x10
#define FADT_SLP_BUTTON	      0x20
#define FADT_RESET_REG_SUP    0x400
#define FADT_HW_REDUCED_ACPI  0x100000
#define BOOT_ARCH_NO_VGA      0x4
#define BOOT_ARCH_NO_ASPM     0x10
#define BOOT_ARCH_NO_CMOS_RTC 0x20

/* 5.2.12: entries of the MADT. */
#define MADT_LAPIC	  0
#define MADT_IOAPIC	  1
#define MADT_LAPIC_NMI	  4
#define MADT_X2APIC	  9
#define MADT_X2APIC_NMI	  10
#define MADT_CPU_ENABLED  1
#define MADT_XAPIC_ID_MAX 254
#define MADT_NMI_LINT	  1

/* The block under construction. */
struct tables {
	uint8_t *data;
	size_t room, len;
	bool overflow;
	gpa_t base;
};

/* Zeroed room for @len bytes at a multiple of 16; NULL: full. */
static uint8_t *table_take(struct tables *t, size_t len, gpa_t *gpa)
{
	size_t at = (size_t)align_up(t->len, 16);

	if (t->overflow || !range_within(at, len, t->room)) {
		t->overflow = true;
		return NULL;
	}
	memset(t->data + t->len, 0, at - t->len + len);
	t->len = at + len;
	*gpa = t->base + at;
	return t->data + at;
}

/* Sets the byte at @sum so that [p, p + len) sums to zero. */
static void set_checksum(uint8_t *p, size_t len, size_t sum)
{
	uint8_t v = 0;

	p[sum] = 0;
	for (size_t i = 0; i < len; i++)
		v = (uint8_t)(v + p[i]);
	p[sum] = (uint8_t)-v;
}

/* The common table header (5.2.6), with the checksum. */
static void put_header(uint8_t *p, const char *signature, size_t len,
		       uint8_t revision)
{
	memcpy(p, signature, 4);
	put_le32(p + 4, (uint32_t)len);
	p[8] = revision;
	memcpy(p + 10, "THAW  ", 6);
	memcpy(p + 16, "THAWVM  ", 8);
	put_le32(p + 24, 1);
	memcpy(p + 28, "THAW", 4);
	put_le32(p + 32, 1);
	set_checksum(p, len, 9);
}

/* A generic address (5.2.3.2) of one byte of port space. */
static void put_port(uint8_t *p, uint64_t port)
{
	p[0] = 1; /* system I/O */
	p[1] = 8; /* bits */
	p[3] = 1; /* byte access */
	put_le64(p + 4, port);
}

static gpa_t add_dsdt(struct tables *t, const struct acpi_config *config)
{
	gpa_t gpa = 0;
	uint8_t *p = table_take(t, HEADER_BYTES, &gpa);
	struct aml aml = { .data = t->data + t->len, .room = t->room - t->len };

	if (!p)
		return 0;
	dsdt_write(config, &aml);
	t->overflow |= aml.overflow;
	t->len += aml.len;
	put_header(p, "DSDT", HEADER_BYTES + aml.len, 2);
	return gpa;
}

/* The FADT (5.2.9): absent hardware, sleep and reset registers. */
static gpa_t add_fadt(struct tables *t, gpa_t dsdt)
{
	gpa_t gpa = 0;
	uint8_t *p = table_take(t, FADT_BYTES, &gpa);

	if (!p)
		return 0;
	put_le32(p + FADT_DSDT, (uint32_t)dsdt);
	put_le64(p + FADT_X_DSDT, dsdt);
	put_le16(p + FADT_IAPC_BOOT_ARCH,
		 BOOT_ARCH_NO_VGA | BOOT_ARCH_NO_ASPM | BOOT_ARCH_NO_CMOS_RTC);
	put_le32(p + FADT_FLAGS, FADT_WBINVD | FADT_PROC_C1 | FADT_PWR_BUTTON |
					 FADT_SLP_BUTTON | FADT_RESET_REG_SUP |
					 FADT_HW_REDUCED_ACPI);
	put_port(p + FADT_RESET_REG, X86_POWER_PORT + POWER_RESET);
	p[FADT_RESET_VALUE] = POWER_RESET_VALUE;
	p[FADT_MINOR] = 5;
	put_port(p + FADT_SLEEP_CONTROL, X86_POWER_PORT + POWER_SLEEP_CONTROL);
	put_port(p + FADT_SLEEP_STATUS, X86_POWER_PORT + POWER_SLEEP_STATUS);
	memcpy(p + FADT_HYPERVISOR, "THAW", 4);
	put_header(p, "FACP", FADT_BYTES, 6);
	return gpa;
}

/* A processor's LAPIC entry, or x2APIC entry for a large id. */
static uint8_t *put_cpu(uint8_t *p, unsigned int id)
{
	if (id <= MADT_XAPIC_ID_MAX) {
		p[0] = MADT_LAPIC;
		p[1] = 8;
		p[2] = p[3] = (uint8_t)id;
		put_le32(p + 4, MADT_CPU_ENABLED);
	} else {
		p[0] = MADT_X2APIC;
		p[1] = 16;
		put_le32(p + 4, id);
		put_le32(p + 8, MADT_CPU_ENABLED);
		put_le32(p + 12, id);
	}
	return p + p[1];
}

/* The NMI input of all processors. */
static uint8_t *put_nmi(uint8_t *p, bool x2apic)
{
	if (x2apic) {
		p[0] = MADT_X2APIC_NMI;
		p[1] = 12;
		put_le32(p + 4, UINT32_MAX);
		p[8] = MADT_NMI_LINT;
	} else {
		p[0] = MADT_LAPIC_NMI;
		p[1] = 6;
		p[2] = UINT8_MAX;
		p[5] = MADT_NMI_LINT;
	}
	return p + p[1];
}

/* The MADT (5.2.12): processors, the IOAPIC, NMI. */
static gpa_t add_madt(struct tables *t, const struct acpi_config *config)
{
	unsigned int small =
		(unsigned int)min_u64(config->cpu_count, MADT_XAPIC_ID_MAX + 1);
	unsigned int large = config->cpu_count - small;
	size_t len = HEADER_BYTES + 8 + small * 8 + large * 16 + 12 + 6 +
		     (large ? 12 : 0);
	gpa_t gpa = 0;
	uint8_t *p = table_take(t, len, &gpa), *at;

	if (!p)
		return 0;
	put_le32(p + HEADER_BYTES, (uint32_t)X86_LAPIC);
	at = p + HEADER_BYTES + 8;
	for (unsigned int i = 0; i < config->cpu_count; i++)
		at = put_cpu(at, i);
	at[0] = MADT_IOAPIC;
	at[1] = 12;
	put_le32(at + 4, (uint32_t)X86_IOAPIC);
	at = put_nmi(at + 12, false);
	if (large)
		put_nmi(at, true);
	put_header(p, "APIC", len, 6);
	return gpa;
}

/* The MCFG (PCI Firmware Specification 3.3, 4.1.2): segment 0, bus 0. */
static gpa_t add_mcfg(struct tables *t, const struct layout *layout)
{
	gpa_t gpa = 0;
	uint8_t *p = table_take(t, MCFG_BYTES, &gpa);

	if (!p)
		return 0;
	put_le64(p + 44, layout->ecam_gpa);
	p[55] = (uint8_t)(layout->ecam_bytes / MIB - 1); /* 1 MiB a bus */
	put_header(p, "MCFG", MCFG_BYTES, 1);
	return gpa;
}

/* The XSDT (5.2.8). */
static gpa_t add_xsdt(struct tables *t, const gpa_t tables[XSDT_TABLES])
{
	size_t len = HEADER_BYTES + XSDT_TABLES * 8;
	gpa_t gpa = 0;
	uint8_t *p = table_take(t, len, &gpa);

	if (!p)
		return 0;
	for (size_t i = 0; i < XSDT_TABLES; i++)
		put_le64(p + HEADER_BYTES + 8 * i, tables[i]);
	put_header(p, "XSDT", len, 1);
	return gpa;
}

/* The RSDP (5.2.5.3), with the checksums of revision 0 and of the whole. */
static void fill_rsdp(uint8_t *p, gpa_t xsdt)
{
	memcpy(p, "RSD PTR ", 8);
	memcpy(p + 9, "THAW  ", 6);
	p[15] = 2;
	put_le32(p + 20, RSDP_BYTES);
	put_le64(p + 24, xsdt);
	set_checksum(p, 20, 8);
	set_checksum(p, RSDP_BYTES, 32);
}

int acpi_build(const struct acpi_config *config, uint8_t *to, size_t room)
{
	struct tables t = { .data = to,
			    .room = room,
			    .base = config->base_gpa };
	gpa_t gpa, dsdt, list[XSDT_TABLES];
	uint8_t *rsdp = table_take(&t, RSDP_BYTES, &gpa);

	dsdt = add_dsdt(&t, config);
	list[0] = add_fadt(&t, dsdt);
	list[1] = add_madt(&t, config);
	list[2] = add_mcfg(&t, config->layout);
	gpa = add_xsdt(&t, list);
	if (t.overflow)
		return -ENOSPC;
	fill_rsdp(rsdp, gpa);
	return (int)t.len;
}

int acpi_add(struct plan *plan, const struct acpi_config *config)
{
	CLEANUP_FREE uint8_t *block = malloc(X86_ACPI_BYTES);
	int len;

	if (!block)
		return log_errno(ENOMEM, "ACPI tables");
	len = acpi_build(config, block, X86_ACPI_BYTES);
	if (len < 0)
		return log_errno(-len, "ACPI tables");
	return plan_add_bytes(plan, "ACPI tables", config->base_gpa, block,
			      (uint64_t)len);
}
