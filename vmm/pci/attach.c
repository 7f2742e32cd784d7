// SPDX-License-Identifier: BSD-2-Clause
/*
 * Attaching functions to slots of the host, and detaching them.  The slots do
 * not change while vCPUs run.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "vmm/pci/private.h"

/* Takes the next free slot and an interrupt line.  -ENOSPC, silent. */
static int slot_take(struct pci_host *host, struct pci_function *f)
{
	unsigned int slot = 0;
	int err;

	pthread_mutex_lock(&host->lock);
	while (slot < PCI_SLOTS && host->slots[slot])
		slot++;
	err = slot < PCI_SLOTS ? pci_bars_place(host, f) : -ENOSPC;
	if (err == 0) {
		f->slot = slot;
		f->gsi = host->config.intx_first +
			 slot % host->config.intx_count;
		if (f->config[PCI_INTERRUPT_PIN])
			f->config[PCI_INTERRUPT_LINE] = (uint8_t)f->gsi;
		memcpy(f->power_on, f->config, sizeof(f->config));
		host->slots[slot] = f;
		f->host = host;
	}
	pthread_mutex_unlock(&host->lock);
	return err;
}

static void slot_release(struct pci_host *host, struct pci_function *f)
{
	pthread_mutex_lock(&host->lock);
	pci_bars_remove(host, f);
	host->slots[f->slot] = NULL;
	pthread_mutex_unlock(&host->lock);
}

int pci_function_attach(struct pci_function *f, struct pci_host *host)
{
	int err = slot_take(host, f);

	if (err < 0)
		return log_errno(-err, "%s: attach to PCI", f->name);
	err = pci_msix_attach(f);
	if (err < 0)
		return log_errno(-err, "%s: interrupts of MSI-X", f->name);
	return 0;
}

void pci_function_finish(struct pci_function *f)
{
	if (f->ops == NULL)
		return;
	if (f->host) {
		slot_release(f->host, f);
		pci_intx_set(f, false);
	}
	pci_msix_free(f);
	pthread_mutex_destroy(&f->irq_lock);
	memset(f, 0, sizeof(*f));
}
