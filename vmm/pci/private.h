/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by the files of this room only.
 */
#ifndef VMM_PCI_PRIVATE_H
#define VMM_PCI_PRIVATE_H

#include <pthread.h>

#include "vmm/base/log.h"
#include "vmm/pci/function.h"
#include "vmm/pci/host.h"

#define PCI_SLOTS 32

struct pci_host {
	struct pci_host_config config;
	/* Guards the slots, every function's config space and all BARs. */
	pthread_mutex_t lock;
	struct pci_function *slots[PCI_SLOTS]; /* not owned but the bridge */
	uint64_t mmio_used; /* bytes of the window given to BARs */
	struct pci_function bridge;
	struct log_budget log;
};

/*
 * Calls go one way:
 *
 *	host.c		ECAM, the bridge
 *	attach.c	slots
 *	function.c	the guest's accesses to config space; reset, save, load
 *	bar.c		where BARs are decoded
 *	msix.c		vectors
 *	config.c	config space as bytes; pci_function_init() and kin
 */

/* config.c: the host's lock; nothing before the function is attached. */
void pci_config_lock(struct pci_function *f);
void pci_config_unlock(struct pci_function *f);

/* bar.c; host's lock held. */

/* Gives each BAR its first address.  -ENOSPC, silent. */
int pci_bars_place(struct pci_host *host, struct pci_function *f);

/*
 * Brings the MMIO bus in line with the BARs and the memory-enable bit of @f,
 * and then decodes whatever BAR of the host could not be before.
 */
void pci_bars_sync(struct pci_host *host, struct pci_function *f);

/* Takes the BARs of @f out of the bus. */
void pci_bars_remove(struct pci_host *host, struct pci_function *f);

/* msix.c */

/* Reserves GSIs and eventfds; -errno, silent.  Free undoes it. */
int pci_msix_attach(struct pci_function *f);
void pci_msix_free(struct pci_function *f);

/* Brings vectors in line with the table and the control bits; irq_lock held. */
void pci_msix_sync(struct pci_function *f);

/* Everything masked and nothing pending; irq_lock held. */
void pci_msix_reset(struct pci_function *f);

/* Accesses of the MSI-X BAR; vCPU thread, no lock held. */
uint64_t pci_msix_read(struct pci_function *f, uint64_t offset,
		       unsigned int size);
void pci_msix_write(struct pci_function *f, uint64_t offset, unsigned int size,
		    uint64_t value);

void pci_msix_save(struct pci_function *f, struct snap_writer *w);
/* Reads into the table and pending bits without syncing. */
void pci_msix_load(struct pci_function *f, struct snap_reader *r);

#endif
