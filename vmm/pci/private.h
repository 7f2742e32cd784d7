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
	/* Guards the slots, all config spaces and all BARs. */
	pthread_mutex_t lock;
	struct pci_function *slots[PCI_SLOTS]; /* owned by their devices */
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

/* config.c: take and release the host's lock, if the function is attached. */
void pci_config_lock(struct pci_function *f);
void pci_config_unlock(struct pci_function *f);

/* bar.c; host's lock held. */

/* Assigns each BAR its power-on address.  0 or -ENOSPC, silent. */
int pci_bars_place(struct pci_host *host, struct pci_function *f);

/*
 * Updates the MMIO bus from the BARs and the memory-enable bit of @f, and then
 * tries again each BAR of the host that overlapped another.
 */
void pci_bars_sync(struct pci_host *host, struct pci_function *f);

/* Removes the BARs of @f from the bus. */
void pci_bars_remove(struct pci_host *host, struct pci_function *f);

/* msix.c */

/* Reserves GSIs and eventfds.  0 or -errno, silent; free cleans up both. */
int pci_msix_attach(struct pci_function *f);
void pci_msix_free(struct pci_function *f);

/* Updates routes and bindings from the table and control bits; irq_lock held. */
void pci_msix_sync(struct pci_function *f);

/* Masks all vectors and clears the pending bits; irq_lock held. */
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
