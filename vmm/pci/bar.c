// SPDX-License-Identifier: BSD-2-Clause
/*
 * BAR addresses: the initial assignment, and the ranges of the MMIO bus.
 *
 * A guest may write any address into a BAR at any time.  A BAR is decoded when
 * memory is enabled, it lies wholly in the host's window, and it overlaps no
 * decoded BAR; otherwise it is not decoded, as if another bridge had claimed the
 * address.  Whenever a BAR moves, those that are not decoded are tried again, so
 * the order of a guest's writes does not matter.
 *
 * vCPU threads; the host's lock is held throughout.  A callback of the bus may
 * still run on another vCPU after its range was removed, which is harmless: the
 * function outlives the vCPUs.
 */
#include <errno.h>
#include <linux/pci_regs.h>

#include "vmm/base/bytes.h"
#include "vmm/bus/bus.h"
#include "vmm/pci/private.h"

static unsigned int bar_reg(unsigned int bar)
{
	return PCI_BASE_ADDRESS_0 + 4 * bar;
}

/* The number of @bar in its function. */
static unsigned int bar_index(const struct pci_bar *bar)
{
	return (unsigned int)(bar - bar->function->bars);
}

/* Dispatches an access of a BAR to MSI-X or to the device. */
static uint64_t bar_read(void *ctx, uint64_t offset, unsigned int size)
{
	struct pci_bar *bar = ctx;
	struct pci_function *f = bar->function;
	unsigned int index = bar_index(bar);

	if (f->msix.count && index == f->msix.bar)
		return pci_msix_read(f, offset, size);
	return f->ops->bar_read(f->ctx, index, offset, size);
}

static void bar_write(void *ctx, uint64_t offset, unsigned int size,
		      uint64_t value)
{
	struct pci_bar *bar = ctx;
	struct pci_function *f = bar->function;
	unsigned int index = bar_index(bar);

	if (f->msix.count && index == f->msix.bar)
		pci_msix_write(f, offset, size, value);
	else
		f->ops->bar_write(f->ctx, index, offset, size, value);
}

static const struct bus_ops bar_ops = {
	.read = bar_read,
	.write = bar_write,
};

/* The address in the register of @bar; true if it can be decoded there. */
static bool bar_wanted(const struct pci_host *host, const struct pci_bar *bar,
		       gpa_t *gpa)
{
	const struct pci_function *f = bar->function;

	if (bar->size_bytes == 0)
		return false;
	*gpa = get_le32(&f->config[bar_reg(bar_index(bar))]) &
	       (uint32_t)PCI_BASE_ADDRESS_MEM_MASK;
	if (!(get_le16(&f->config[PCI_COMMAND]) & PCI_COMMAND_MEMORY))
		return false;
	return *gpa >= host->config.mmio_gpa &&
	       range_within(*gpa - host->config.mmio_gpa, bar->size_bytes,
			    host->config.mmio_bytes);
}

/* Reports the address of a BAR to its device. */
static void bar_moved(struct pci_bar *bar)
{
	struct pci_function *f = bar->function;

	if (f->ops->bar_moved)
		f->ops->bar_moved(f->ctx, bar_index(bar), bar->gpa,
				  bar->decoded);
}

static void bar_undecode(struct pci_host *host, struct pci_bar *bar)
{
	if (!bar->decoded)
		return;
	bar->decoded = false;
	bar_moved(bar);
	bus_remove(host->config.mmio, bar->gpa, bar);
}

/* Adds @bar to the bus at its register's address, if that is free. */
static void bar_decode(struct pci_host *host, struct pci_bar *bar)
{
	gpa_t gpa;
	struct bus_range range = {
		.size = bar->size_bytes,
		.ops = &bar_ops,
		.ctx = bar,
		.name = bar->function->name,
	};

	if (bar->decoded || !bar_wanted(host, bar, &gpa))
		return;
	range.base = gpa;
	if (bus_add(host->config.mmio, &range) < 0) {
		log_guest(&host->log,
			  "%s: BAR %u at %#llx overlaps another, not decoded",
			  bar->function->name, bar_index(bar),
			  (unsigned long long)gpa);
		return;
	}
	bar->gpa = gpa;
	bar->decoded = true;
	bar_moved(bar);
}

void pci_bars_sync(struct pci_host *host, struct pci_function *f)
{
	bool changed = false;
	gpa_t gpa;

	for (unsigned int i = 0; i < PCI_BARS; i++) {
		struct pci_bar *bar = &f->bars[i];
		bool wanted = bar_wanted(host, bar, &gpa);

		if (bar->decoded && wanted && gpa == bar->gpa)
			continue;
		changed |= bar->decoded || wanted;
		bar_undecode(host, bar);
	}
	if (!changed)
		return;
	for (unsigned int s = 0; s < PCI_SLOTS; s++)
		for (unsigned int i = 0; host->slots[s] && i < PCI_BARS; i++)
			bar_decode(host, &host->slots[s]->bars[i]);
}

void pci_bars_remove(struct pci_host *host, struct pci_function *f)
{
	for (unsigned int i = 0; i < PCI_BARS; i++)
		bar_undecode(host, &f->bars[i]);
}

int pci_bars_place(struct pci_host *host, struct pci_function *f)
{
	for (unsigned int i = 0; i < PCI_BARS; i++) {
		uint64_t size = f->bars[i].size_bytes;
		uint64_t at = host->config.mmio_gpa + host->mmio_used;

		if (size == 0)
			continue;
		/* At least a page each, so that no two share one. */
		at = align_up(at, max_u64(size, PAGE_BYTES));
		if (!range_within(at - host->config.mmio_gpa, size,
				  host->config.mmio_bytes))
			return -ENOSPC;
		put_le32(&f->config[bar_reg(i)], (uint32_t)at);
		host->mmio_used = at + size - host->config.mmio_gpa;
	}
	return 0;
}
