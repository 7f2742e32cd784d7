/* SPDX-License-Identifier: BSD-2-Clause */
/* Enumeration and names of PCI functions.  Any processor. */
#include <stddef.h>

#include "guest/lib/pci.h"

/* Configuration header (PCI Local Bus Specification 3.0, 6.1). */
#define REG_VENDOR	0x00
#define REG_DEVICE	0x02
#define REG_SUBCLASS	0x0a
#define REG_CLASS	0x0b
#define REG_HEADER_TYPE 0x0e
#define MULTI_FUNCTION	0x80

/* virtio 1.2, 4.1.2: modern devices are 0x1040 + the virtio device id. */
#define VENDOR_VIRTIO	    0x1af4
#define VIRTIO_MODERN_FIRST 0x1040

uint8_t pci_read8(const struct pci_function *f, unsigned int reg)
{
	return f->config[reg];
}

uint16_t pci_read16(const struct pci_function *f, unsigned int reg)
{
	return *(volatile uint16_t *)(f->config + reg);
}

uint32_t pci_read32(const struct pci_function *f, unsigned int reg)
{
	return *(volatile uint32_t *)(f->config + reg);
}

void pci_write16(const struct pci_function *f, unsigned int reg, uint16_t v)
{
	*(volatile uint16_t *)(f->config + reg) = v;
}

void pci_write32(const struct pci_function *f, unsigned int reg, uint32_t v)
{
	*(volatile uint32_t *)(f->config + reg) = v;
}

/* Reads the ids of function @f; false if absent. */
static bool probe(const struct machine *machine, struct pci_function *f)
{
	f->config =
		(volatile uint8_t
			 *)(uintptr_t)(machine->ecam +
				       ((uint64_t)(f->bus - machine->bus_first)
					<< 20) +
				       (f->slot << 15) + (f->function << 12));
	f->vendor = pci_read16(f, REG_VENDOR);
	if (f->vendor == 0xffff)
		return false;
	f->device = pci_read16(f, REG_DEVICE);
	f->class_code = pci_read8(f, REG_CLASS);
	f->subclass = pci_read8(f, REG_SUBCLASS);
	return true;
}

/* Moves to the next possible function. */
static void advance(struct pci_function *f)
{
	bool many =
		f->function || (f->vendor != 0xffff &&
				pci_read8(f, REG_HEADER_TYPE) & MULTI_FUNCTION);

	if (many && ++f->function < 8)
		return;
	f->function = 0;
	if (++f->slot < 32)
		return;
	f->slot = 0;
	f->bus++;
}

bool pci_next(const struct machine *machine, struct pci_function *f)
{
	if (!machine->ecam)
		return false;
	if (!f->config)
		*f = (struct pci_function){ .bus = machine->bus_first };
	else
		advance(f);
	/* A bus without a host bridge has no functions. */
	while (f->bus <= machine->bus_last) {
		if (probe(machine, f))
			return true;
		if (f->slot == 0 && f->function == 0 && f->bus > 0)
			return false;
		advance(f);
	}
	return false;
}

/* Names of virtio devices by their id (virtio 1.2, section 5). */
static const char *virtio_name(unsigned int id)
{
	static const char *const names[] = {
		[1] = "virtio network card",   [2] = "virtio disk",
		[3] = "virtio console",	       [4] = "virtio entropy source",
		[5] = "virtio balloon",	       [8] = "virtio SCSI host",
		[9] = "virtio 9P file system", [19] = "virtio socket",
		[24] = "virtio memory",	       [26] = "virtio file system",
	};

	if (id < sizeof(names) / sizeof(names[0]) && names[id])
		return names[id];
	return "virtio device";
}

const char *pci_name(const struct pci_function *f)
{
	/* Class codes: PCI Code and ID Assignment Specification, section 1. */
	static const struct {
		uint8_t class_code, subclass;
		const char *name;
	} classes[] = {
		{ 0x06, 0x00, "host bridge" },	{ 0x06, 0x01, "ISA bridge" },
		{ 0x06, 0x04, "PCI bridge" },	{ 0x01, 0x08, "NVMe disk" },
		{ 0x02, 0x00, "network card" }, { 0x03, 0x00, "display" },
	};

	if (f->vendor == VENDOR_VIRTIO && f->device >= VIRTIO_MODERN_FIRST)
		return virtio_name(f->device - VIRTIO_MODERN_FIRST);
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (classes[i].class_code == f->class_code &&
		    classes[i].subclass == f->subclass)
			return classes[i].name;
	return "device";
}
