/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI by ECAM (PCI Express Base Specification 7.2.2): configuration space is
 * memory, 4 KiB a function.
 */
#ifndef GUEST_PCI_H
#define GUEST_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "guest/lib/machine.h"

/* A function; @config is its configuration space. */
struct pci_function {
	unsigned int bus, slot, function;
	volatile uint8_t *config;
	uint16_t vendor, device;
	uint8_t class_code, subclass;
};

/*
 * The next function after @function, or the first when its config is NULL;
 * false after the last.
 */
bool pci_next(const struct machine *machine, struct pci_function *function);

/* Configuration space by register offset. */
uint8_t pci_read8(const struct pci_function *f, unsigned int reg);
uint16_t pci_read16(const struct pci_function *f, unsigned int reg);
uint32_t pci_read32(const struct pci_function *f, unsigned int reg);
void pci_write16(const struct pci_function *f, unsigned int reg, uint16_t v);
void pci_write32(const struct pci_function *f, unsigned int reg, uint32_t v);

/* A short description of the function. */
const char *pci_name(const struct pci_function *function);

#endif
