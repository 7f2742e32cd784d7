// SPDX-License-Identifier: BSD-2-Clause
/*
 * Config space as bytes, with a mask of the bits that a guest may write, and
 * the description of a function in it.  An access of any size at any offset is
 * the same merge of bytes.
 *
 * The low bits of a BAR are not writable, so writing all ones reads back its
 * size (PCI 6.2.5.1) without further code.
 *
 * The host's lock guards config space once the function is attached.
 */
#include <assert.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/pci/private.h"

/* Where capabilities start: the end of the type 0 header. */
#define CAP_FIRST 0x40

/* The bits of the command register that a guest may write. */
#define COMMAND_WRITABLE \
	(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE)

void pci_config_lock(struct pci_function *f)
{
	if (f->host)
		pthread_mutex_lock(&f->host->lock);
}

void pci_config_unlock(struct pci_function *f)
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

uint64_t pci_config_get(struct pci_function *f, unsigned int reg,
			unsigned int size)
{
	uint64_t value;

	assert(range_within(reg, size, PCI_CONFIG_BYTES));
	pci_config_lock(f);
	value = get_le(&f->config[reg], size);
	pci_config_unlock(f);
	return value;
}

void pci_config_put(struct pci_function *f, unsigned int reg, unsigned int size,
		    uint64_t value)
{
	assert(range_within(reg, size, PCI_CONFIG_BYTES));
	pci_config_lock(f);
	put_le(&f->config[reg], value, size);
	pci_config_unlock(f);
}

void pci_config_allow(struct pci_function *f, unsigned int reg,
		      unsigned int size, uint64_t mask)
{
	assert(range_within(reg, size, PCI_CONFIG_BYTES));
	put_le(&f->writable[reg], mask, size);
}
