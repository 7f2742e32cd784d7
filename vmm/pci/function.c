// SPDX-License-Identifier: BSD-2-Clause
/*
 * The guest's accesses of config space; BARs, MSI-X and INTA follow the
 * registers.  There is no decoding by register: after a write that changed a
 * byte, all of them are updated.
 *
 * vCPU threads.  The host's lock guards config space; see function.h.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/bus/irq.h"
#include "vmm/pci/private.h"
#include "vmm/snap/section.h"

uint64_t pci_config_read(struct pci_function *f, unsigned int reg,
			 unsigned int size)
{
	uint8_t bytes[8] = { 0 };
	bool intx;

	if (f->ops->config_touch)
		f->ops->config_touch(f->ctx, reg, size, false);
	pthread_mutex_lock(&f->irq_lock);
	intx = f->intx_wanted;
	pthread_mutex_unlock(&f->irq_lock);
	pci_config_lock(f);
	for (unsigned int i = 0; i < size && i < sizeof(bytes); i++) {
		if (reg + i < PCI_CONFIG_BYTES)
			bytes[i] = f->config[reg + i];
		/* Independent of the interrupt disable bit (PCI 6.2.3). */
		if (reg + i == PCI_STATUS && intx)
			bytes[i] |= PCI_STATUS_INTERRUPT;
	}
	pci_config_unlock(f);
	return get_le(bytes, size);
}

/* Sets INTA from the device's level and the guest's bits; irq_lock held. */
static void intx_sync(struct pci_function *f)
{
	bool out = f->intx_wanted && !f->intx_disabled && !f->msix.enabled;

	if (out == f->intx_out)
		return;
	f->intx_out = out;
	irq_line_set(f->host->config.irqs, f->gsi, f->slot, out);
}

/* Applies the registers that control interrupts; host's lock held. */
static void interrupts_sync(struct pci_function *f)
{
	struct pci_msix *m = &f->msix;
	uint16_t command = get_le16(&f->config[PCI_COMMAND]);
	uint16_t flags = 0;

	if (m->count)
		flags = get_le16(&f->config[m->cap + PCI_MSIX_FLAGS]);
	pthread_mutex_lock(&f->irq_lock);
	f->intx_disabled = command & PCI_COMMAND_INTX_DISABLE;
	f->master = command & PCI_COMMAND_MASTER;
	m->enabled = flags & PCI_MSIX_FLAGS_ENABLE;
	m->masked = flags & PCI_MSIX_FLAGS_MASKALL;
	pci_msix_sync(f);
	intx_sync(f);
	pthread_mutex_unlock(&f->irq_lock);
}

void pci_config_write(struct pci_function *f, unsigned int reg,
		      unsigned int size, uint64_t value)
{
	bool changed = false;

	pci_config_lock(f);
	for (unsigned int i = 0; i < size && i < 8; i++) {
		unsigned int at = reg + i;
		uint8_t old, new;

		if (at >= PCI_CONFIG_BYTES)
			break;
		old = f->config[at];
		new = (uint8_t)((old & ~f->writable[at]) |
				((value >> (8 * i)) & f->writable[at]));
		changed |= new != old;
		f->config[at] = new;
	}
	if (changed) {
		pci_bars_sync(f->host, f);
		interrupts_sync(f);
	}
	pci_config_unlock(f);
	if (f->ops->config_touch)
		f->ops->config_touch(f->ctx, reg, size, true);
}

bool pci_function_is_master(struct pci_function *f)
{
	bool master;

	pthread_mutex_lock(&f->irq_lock);
	master = f->master;
	pthread_mutex_unlock(&f->irq_lock);
	return master;
}

void pci_intx_set(struct pci_function *f, bool level)
{
	pthread_mutex_lock(&f->irq_lock);
	f->intx_wanted = level;
	intx_sync(f);
	pthread_mutex_unlock(&f->irq_lock);
}

void pci_function_reset(struct pci_function *f)
{
	pci_intx_set(f, false);
	pci_config_lock(f);
	memcpy(f->config, f->power_on, sizeof(f->config));
	pthread_mutex_lock(&f->irq_lock);
	pci_msix_reset(f);
	pthread_mutex_unlock(&f->irq_lock);
	pci_bars_sync(f->host, f);
	interrupts_sync(f);
	pci_config_unlock(f);
}

void pci_function_save(struct pci_function *f, struct snap_writer *w)
{
	pci_config_lock(f);
	snap_put_u8(w, (uint8_t)f->slot);
	snap_put_bytes(w, f->config, sizeof(f->config));
	pci_config_unlock(f);
	pci_msix_save(f, w);
}

int pci_function_load(struct pci_function *f, struct snap_reader *r)
{
	uint8_t config[PCI_CONFIG_BYTES];
	unsigned int slot;

	pci_function_reset(f);
	slot = snap_get_u8(r);
	snap_get_bytes(r, config, sizeof(config));
	pci_msix_load(f, r);
	/* Vendor and device id must match. */
	if (slot != f->slot || memcmp(config, f->config, 4) != 0)
		snap_reader_fail(r);
	if (r->error) {
		pci_function_reset(f);
		return -EBADMSG;
	}
	pci_config_lock(f);
	for (unsigned int i = 0; i < PCI_CONFIG_BYTES; i++)
		f->config[i] = (uint8_t)((f->config[i] & ~f->writable[i]) |
					 (config[i] & f->writable[i]));
	pci_bars_sync(f->host, f);
	interrupts_sync(f);
	pci_config_unlock(f);
	return 0;
}
