/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PCI host: one segment, bus 0, up to 32 devices of one function, reached
 * by ECAM (PCI Express Base Specification 7.2.2).
 *
 * This header is what vm/ needs; function.h is what a PCI device needs.
 */
#ifndef VMM_PCI_HOST_H
#define VMM_PCI_HOST_H

#include <stdint.h>

#include "vmm/mem/memory.h"

struct bus;
struct device;
struct irqs;
struct pci_host;

struct pci_host_config {
	struct bus *mmio;
	struct irqs *irqs;
	gpa_t ecam_gpa;
	uint64_t ecam_bytes; /* 1 MiB: bus 0 */
	/*
	 * Where BARs are placed before the guest moves them, and the only
	 * place where they are decoded.  Below 4 GiB.
	 */
	gpa_t mmio_gpa;
	uint64_t mmio_bytes;
	uint32_t intx_first, intx_count;
};

/*
 * Creates the host with its own bridge at slot 0; -errno, logged.  The device
 * of pci_host_device() owns it.
 */
int pci_host_create(struct pci_host **host,
		    const struct pci_host_config *config);

/*
 * Fills *@device with the operations of the host's bridge, for the VM's
 * table.  In the table it comes before the devices on its bus, and is destroyed
 * after them.
 */
void pci_host_device(struct pci_host *host, struct device *device);

#endif
