/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Contents of the DSDT: the devices that cannot be enumerated.
 *
 *	\_S5		soft off
 *	\_SB.PCI0	the host bridge: bus 0, its window, its INTx lines
 *	\_SB.MBRD	motherboard resources: ECAM window, power ports
 *	\_SB.COM1	the serial port
 *	\_SB.PWRB	the power button
 *	\_SB.VGEN	the generation id
 *	\_SB.GED	the event line, for the power button and generation id
 *
 * One thread.  Sections are those of the ACPI specification 6.5.
 */
#include "arch/x86/acpi.h"
#include "arch/x86/aml.h"
#include "arch/x86/power.h"
#include "arch/x86/x86.h"

#define PCI_SLOTS	 32
#define NOTIFY_PRESSED	 0x80 /* table 5.166 */
#define NOTIFY_GENERATED 0x80 /* Microsoft, Virtual Machine Generation ID */

/* \_S5: the sleep type of soft off (7.4.2.6). */
static void write_s5(struct aml *aml)
{
	size_t package;

	aml_name(aml, "\\_S5");
	package = aml_package(aml, 4);
	aml_int(aml, POWER_S5);
	for (int i = 0; i < 3; i++)
		aml_int(aml, 0);
	aml_end(aml, package);
}

/* _PRT (6.2.13): pin A of each slot, routed to a GSI. */
static void write_prt(struct aml *aml, const struct layout *layout)
{
	size_t package, entry;

	aml_name(aml, "_PRT");
	package = aml_package(aml, PCI_SLOTS);
	for (uint32_t slot = 0; slot < PCI_SLOTS; slot++) {
		entry = aml_package(aml, 4);
		aml_int(aml, slot << 16 | 0xffff);
		aml_int(aml, 0);
		aml_int(aml, 0);
		aml_int(aml, layout->intx_first + slot % layout->intx_count);
		aml_end(aml, entry);
	}
	aml_end(aml, package);
}

static void write_pci(struct aml *aml, const struct layout *layout)
{
	struct aml_resources r;
	size_t device = aml_device(aml, "PCI0");

	aml_name_eisaid(aml, "_HID", "PNP0A08");
	aml_name_eisaid(aml, "_CID", "PNP0A03");
	aml_name_int(aml, "_UID", 0);
	aml_name_int(aml, "_SEG", 0);
	aml_name_int(aml, "_BBN", 0);
	resources_begin(&r);
	resources_bus_window(&r, 0, (uint16_t)(layout->ecam_bytes / MIB - 1));
	resources_memory_window(&r, (uint32_t)layout->pci_mmio_gpa,
				(uint32_t)layout->pci_mmio_bytes);
	aml_name_resources(aml, &r);
	write_prt(aml, layout);
	aml_end(aml, device);
}

/*
 * Motherboard resources; Linux ignores the ECAM window unless it is listed
 * here.
 */
static void write_board(struct aml *aml, const struct layout *layout)
{
	struct aml_resources r;
	size_t device = aml_device(aml, "MBRD");

	aml_name_eisaid(aml, "_HID", "PNP0C02");
	aml_name_int(aml, "_UID", 0);
	resources_begin(&r);
	resources_memory(&r, (uint32_t)layout->ecam_gpa,
			 (uint32_t)layout->ecam_bytes);
	resources_ports(&r, (uint16_t)X86_POWER_PORT, X86_POWER_PORTS);
	aml_name_resources(aml, &r);
	aml_end(aml, device);
}

static void write_serial(struct aml *aml, const struct layout *layout)
{
	struct aml_resources r;
	size_t device = aml_device(aml, "COM1");

	aml_name_eisaid(aml, "_HID", "PNP0501");
	aml_name_int(aml, "_UID", 0);
	resources_begin(&r);
	resources_ports(&r, (uint16_t)layout->serial_base, X86_SERIAL_PORTS);
	resources_interrupt(&r, layout->serial_gsi);
	aml_name_resources(aml, &r);
	aml_end(aml, device);
}

/* The power button (4.8.2.2.1.2). */
static void write_button(struct aml *aml)
{
	size_t device = aml_device(aml, "PWRB");

	aml_name_eisaid(aml, "_HID", "PNP0C0C");
	aml_name_int(aml, "_UID", 0);
	aml_end(aml, device);
}

/*
 * The generation id (Microsoft, "Virtual Machine Generation ID", 2012).  ADDR
 * holds the low and high halves of its address.
 */
static void write_generation(struct aml *aml, gpa_t gpa)
{
	size_t device = aml_device(aml, "VGEN"), package;

	aml_name_string(aml, "_HID", "THAW0001");
	aml_name_string(aml, "_CID", "VM_Gen_Counter");
	aml_name_string(aml, "_DDN", "VM_Gen_Counter");
	aml_name_int(aml, "_UID", 0);
	aml_name(aml, "ADDR");
	package = aml_package(aml, 2);
	aml_int(aml, gpa & UINT32_MAX);
	aml_int(aml, gpa >> 32);
	aml_end(aml, package);
	aml_end(aml, device);
}

/* If (Local0 & bit) {Notify (device, value)} */
static void write_notify(struct aml *aml, enum power_event bit,
			 const char *device, uint8_t value)
{
	size_t body = aml_if(aml);

	aml_byte(aml, AML_AND);
	aml_byte(aml, AML_LOCAL0);
	aml_int(aml, bit);
	aml_byte(aml, AML_NULL_NAME);
	aml_byte(aml, AML_NOTIFY);
	aml_path(aml, device);
	aml_int(aml, value);
	aml_end(aml, body);
}

/* The generic event device (5.6.9): reads and notifies the pending events. */
static void write_events(struct aml *aml, const struct layout *layout)
{
	struct aml_resources r;
	size_t device = aml_device(aml, "GED"), method;

	aml_name_string(aml, "_HID", "ACPI0013");
	aml_name_int(aml, "_UID", 0);
	resources_begin(&r);
	resources_interrupt(&r, layout->event_gsi);
	aml_name_resources(aml, &r);
	aml_port_field(aml, "EREG", "EVTS",
		       (uint16_t)(X86_POWER_PORT + POWER_EVENTS));
	method = aml_method(aml, "_EVT", 1);
	aml_byte(aml, AML_STORE);
	aml_path(aml, "EVTS");
	aml_byte(aml, AML_LOCAL0);
	write_notify(aml, POWER_EVENT_BUTTON, "PWRB", NOTIFY_PRESSED);
	write_notify(aml, POWER_EVENT_GENERATION, "VGEN", NOTIFY_GENERATED);
	aml_end(aml, method);
	aml_end(aml, device);
}

void dsdt_write(const struct acpi_config *config, struct aml *aml)
{
	size_t scope;

	write_s5(aml);
	scope = aml_scope(aml, "\\_SB");
	write_pci(aml, config->layout);
	write_board(aml, config->layout);
	if (config->has_serial)
		write_serial(aml, config->layout);
	write_button(aml);
	write_generation(aml, config->generation_gpa);
	write_events(aml, config->layout);
	aml_end(aml, scope);
}
