// SPDX-License-Identifier: BSD-2-Clause
/*
 * Config space of a function: bytes, a mask of the bits that a guest may write,
 * and a look at what a write changed.  There is no decoding by register, so an
 * access of any size at any offset is the same merge of bytes.
 *
 * A BAR's size needs no code of its own: its low bits are simply not writable,
 * so that writing all ones reads back the size (PCI 6.2.5.1).
 *
 * vCPU threads.  The host's lock guards config space; see function.h.
 */
#include <assert.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/bus/irq.h"
#include "vmm/pci/private.h"
#include "vmm/snap/section.h"

/* Where capabilities start: the end of the type 0 header. */
#define CAP_FIRST 0x40

/* What a guest may write into the command register. */
#define COMMAND_WRITABLE \
	(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE)

/* Takes the host's lock, which is not there before attaching. */
static void config_lock(struct pci_function *f)
{
	if (f->host)
		pthread_mutex_lock(&f->host->lock);
}

static void config_unlock(struct pci_function *f)
{
	if (f->host)
		pthread_mutex_unlock(&f->host->lock);
}

int pci_function_init(struct pci_function *f, const struct pci_identity *id,
		      const char *name, const struct pci_function_ops *ops,
		      void *ctx)
{
	int err;

	memset(f, 0, sizeof(*f));
	err = pthread_mutex_init(&f->irq_lock, NULL);
	if (err)
		return -err;
	f->name = name;
	f->ops = ops;
	f->ctx = ctx;
	f->cap_end = CAP_FIRST;
	for (unsigned int i = 0; i < PCI_BARS; i++)
		f->bars[i].function = f;
	put_le16(&f->config[PCI_VENDOR_ID], id->vendor);
	put_le16(&f->config[PCI_DEVICE_ID], id->device);
	put_le32(&f->config[PCI_CLASS_REVISION],
		 id->class_code << 8 | id->revision);
	put_le16(&f->config[PCI_SUBSYSTEM_VENDOR_ID], id->subsystem_vendor);
	put_le16(&f->config[PCI_SUBSYSTEM_ID], id->subsystem);
	pci_config_allow(f, PCI_COMMAND, 2, COMMAND_WRITABLE);
	pci_config_allow(f, PCI_CACHE_LINE_SIZE, 1, 0xff);
	pci_config_allow(f, PCI_INTERRUPT_LINE, 1, 0xff);
	return 0;
}

void pci_function_bar(struct pci_function *f, unsigned int bar,
		      uint32_t size_bytes)
{
	assert(bar < PCI_BARS && is_power_of_two(size_bytes) &&
	       size_bytes >= 16);
	f->bars[bar].size_bytes = size_bytes;
	pci_config_allow(f, PCI_BASE_ADDRESS_0 + 4 * bar, 4, ~(size_bytes - 1));
}

unsigned int pci_function_capability(struct pci_function *f, uint8_t id,
				     unsigned int len)
{
	unsigned int at = f->cap_end;

	assert(at + len <= PCI_CONFIG_BYTES);
	f->config[at] = id;
	if (f->cap_last)
		f->config[f->cap_last + PCI_CAP_LIST_NEXT] = (uint8_t)at;
	else
		f->config[PCI_CAPABILITY_LIST] = (uint8_t)at;
	f->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	f->cap_last = at;
	f->cap_end = (unsigned int)align_up(at + len, 4);
	return at;
}

int pci_function_attach(struct pci_function *f, struct pci_host *host)
{
	int err = pci_host_attach(host, f);

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
		pci_host_detach(f->host, f);
		pci_intx_set(f, false);
	}
	pci_msix_free(f);
	pthread_mutex_destroy(&f->irq_lock);
	memset(f, 0, sizeof(*f));
}

uint64_t pci_config_get(struct pci_function *f, unsigned int reg,
			unsigned int size)
{
	uint64_t value;

	assert(range_within(reg, size, PCI_CONFIG_BYTES));
	config_lock(f);
	value = get_le(&f->config[reg], size);
	config_unlock(f);
	return value;
}

void pci_config_put(struct pci_function *f, unsigned int reg, unsigned int size,
		    uint64_t value)
{
	assert(range_within(reg, size, PCI_CONFIG_BYTES));
	config_lock(f);
	put_le(&f->config[reg], value, size);
	config_unlock(f);
}

void pci_config_allow(struct pci_function *f, unsigned int reg,
		      unsigned int size, uint64_t mask)
{
	assert(range_within(reg, size, PCI_CONFIG_BYTES));
	put_le(&f->writable[reg], mask, size);
}

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
	config_lock(f);
	for (unsigned int i = 0; i < size && i < sizeof(bytes); i++) {
		if (reg + i < PCI_CONFIG_BYTES)
			bytes[i] = f->config[reg + i];
		/* Shows what is wanted, whatever the disable bit says. */
		if (reg + i == PCI_STATUS && intx)
			bytes[i] |= PCI_STATUS_INTERRUPT;
	}
	config_unlock(f);
	return get_le(bytes, size);
}

/* Drives INTA as the device wants it and the guest allows; irq_lock held. */
static void intx_sync(struct pci_function *f)
{
	bool out = f->intx_wanted && !f->intx_disabled && !f->msix.enabled;

	if (out == f->intx_out)
		return;
	f->intx_out = out;
	irq_line_set(f->host->config.irqs, f->gsi, f->slot, out);
}

/* Lets the registers that steer interrupts take effect; host's lock held. */
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

	config_lock(f);
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
	config_unlock(f);
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
	config_lock(f);
	memcpy(f->config, f->power_on, sizeof(f->config));
	pthread_mutex_lock(&f->irq_lock);
	pci_msix_reset(f);
	pthread_mutex_unlock(&f->irq_lock);
	pci_bars_sync(f->host, f);
	interrupts_sync(f);
	config_unlock(f);
}

void pci_function_save(struct pci_function *f, struct snap_writer *w)
{
	config_lock(f);
	snap_put_u8(w, (uint8_t)f->slot);
	snap_put_bytes(w, f->config, sizeof(f->config));
	config_unlock(f);
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
	/* Vendor and device: what cannot be written must be what it was. */
	if (slot != f->slot || memcmp(config, f->config, 4) != 0)
		snap_reader_fail(r);
	if (r->error) {
		pci_function_reset(f);
		return -EBADMSG;
	}
	config_lock(f);
	for (unsigned int i = 0; i < PCI_CONFIG_BYTES; i++)
		f->config[i] = (uint8_t)((f->config[i] & ~f->writable[i]) |
					 (config[i] & f->writable[i]));
	pci_bars_sync(f->host, f);
	interrupts_sync(f);
	config_unlock(f);
	return 0;
}
