// SPDX-License-Identifier: BSD-2-Clause
/*
 * MSI-X (PCI 6.8.2): the table and the pending bits in one BAR of 4 KiB, and
 * for each vector an eventfd, bound to a routed GSI while the vector is unmasked
 * and the function is a bus master: a message is a write to memory (PCI 6.8.3).
 *
 * The table is kept as the bytes that the guest sees, so that an access of any
 * size at any offset is a copy; entries are interpreted after the write.
 *
 * Any thread: vCPUs write the table, the loop thread raises.  irq_lock guards
 * all of it.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/event.h"
#include "vmm/bus/irq.h"
#include "vmm/pci/private.h"
#include "vmm/snap/section.h"

/* Of the last dword only the mask bit is implemented; the rest is reserved. */
static const uint8_t entry_writable[PCI_MSIX_ENTRY_SIZE] = {
	0xfc,
	0xff,
	0xff,
	0xff,
	0xff,
	0xff,
	0xff,
	0xff,
	0xff,
	0xff,
	0xff,
	0xff,
	PCI_MSIX_ENTRY_CTRL_MASKBIT,
};

static uint8_t *entry_of(const struct pci_msix *m, unsigned int vector)
{
	return &m->table[vector * PCI_MSIX_ENTRY_SIZE];
}

static bool entry_masked(const struct pci_msix *m, unsigned int vector)
{
	return entry_of(m, vector)[PCI_MSIX_ENTRY_VECTOR_CTRL] &
	       PCI_MSIX_ENTRY_CTRL_MASKBIT;
}

/* Whether the vector's message stays pending; MSI-X is enabled. */
static bool vector_held(const struct pci_function *f, unsigned int vector)
{
	return f->msix.masked || entry_masked(&f->msix, vector) || !f->master;
}

static uint64_t pending_bit(unsigned int vector)
{
	return UINT64_C(1) << (vector % 64);
}

/* Signals the eventfd; KVM delivers the message. */
static void vector_fire(const struct pci_vector *v)
{
	if (v->bound)
		event_signal(v->eventfd);
}

static void vector_unbind(struct pci_function *f, struct pci_vector *v)
{
	if (!v->bound)
		return;
	irq_fd_unbind(f->host->config.irqs, v->gsi, v->eventfd);
	v->bound = false;
}

/*
 * Routes and binds the vector as its table entry says.  A message that the
 * kernel does not take leaves it unbound: its interrupts are lost, as on
 * hardware a write to an address without a device.
 */
static void vector_bind(struct pci_function *f, unsigned int vector)
{
	struct pci_vector *v = &f->msix.vectors[vector];
	const uint8_t *e = entry_of(&f->msix, vector);
	uint64_t addr = get_le64(e + PCI_MSIX_ENTRY_LOWER_ADDR);
	uint32_t data = get_le32(e + PCI_MSIX_ENTRY_DATA);
	struct irqs *irqs = f->host->config.irqs;

	if (v->bound && v->addr == addr && v->data == data)
		return;
	vector_unbind(f, v);
	if (irq_msi_route(irqs, v->gsi, addr, data, f->slot << 3) < 0 ||
	    irq_fd_bind(irqs, v->gsi, v->eventfd) < 0) {
		log_guest(&f->host->log,
			  "%s: MSI-X vector %u cannot be delivered to %#llx",
			  f->name, vector, (unsigned long long)addr);
		return;
	}
	v->addr = addr;
	v->data = data;
	v->bound = true;
}

/* Binds or unbinds one vector as its entry and the control bits require. */
static void vector_sync(struct pci_function *f, unsigned int vector)
{
	struct pci_msix *m = &f->msix;
	uint64_t *pending = &m->pending[vector / 64];

	if (!m->enabled || vector_held(f, vector)) {
		vector_unbind(f, &m->vectors[vector]);
		return;
	}
	vector_bind(f, vector);
	if (*pending & pending_bit(vector)) {
		*pending &= ~pending_bit(vector);
		vector_fire(&m->vectors[vector]);
	}
}

void pci_msix_sync(struct pci_function *f)
{
	for (unsigned int i = 0; i < f->msix.count; i++)
		vector_sync(f, i);
}

void pci_msix_reset(struct pci_function *f)
{
	struct pci_msix *m = &f->msix;

	memset(m->pending, 0, sizeof(m->pending));
	m->enabled = m->masked = false;
	for (unsigned int i = 0; i < m->count; i++) {
		memset(entry_of(m, i), 0, PCI_MSIX_ENTRY_SIZE);
		entry_of(m, i)[PCI_MSIX_ENTRY_VECTOR_CTRL] =
			PCI_MSIX_ENTRY_CTRL_MASKBIT;
		vector_sync(f, i);
	}
}

bool pci_msix_raise(struct pci_function *f, unsigned int vector)
{
	struct pci_msix *m = &f->msix;
	bool enabled;

	pthread_mutex_lock(&f->irq_lock);
	enabled = m->enabled;
	if (enabled && vector < m->count) {
		if (vector_held(f, vector))
			m->pending[vector / 64] |= pending_bit(vector);
		else
			vector_fire(&m->vectors[vector]);
	}
	pthread_mutex_unlock(&f->irq_lock);
	return enabled;
}

uint64_t pci_msix_read(struct pci_function *f, uint64_t offset,
		       unsigned int size)
{
	struct pci_msix *m = &f->msix;
	uint64_t table_bytes = (uint64_t)m->count * PCI_MSIX_ENTRY_SIZE;
	uint8_t bytes[8] = { 0 };

	pthread_mutex_lock(&f->irq_lock);
	for (unsigned int i = 0; i < size && i < sizeof(bytes); i++) {
		uint64_t at = offset + i;
		uint64_t pba = at - PCI_MSIX_PBA_AT;

		if (at < table_bytes)
			bytes[i] = m->table[at];
		else if (at >= PCI_MSIX_PBA_AT && pba < sizeof(m->pending))
			bytes[i] = (uint8_t)(m->pending[pba / 8] >>
					     (8 * (pba % 8)));
	}
	pthread_mutex_unlock(&f->irq_lock);
	return get_le(bytes, size);
}

void pci_msix_write(struct pci_function *f, uint64_t offset, unsigned int size,
		    uint64_t value)
{
	struct pci_msix *m = &f->msix;
	uint64_t table_bytes = (uint64_t)m->count * PCI_MSIX_ENTRY_SIZE;

	pthread_mutex_lock(&f->irq_lock);
	for (unsigned int i = 0; i < size && i < 8; i++) {
		uint64_t at = offset + i;
		uint8_t mask = entry_writable[at % PCI_MSIX_ENTRY_SIZE];
		uint8_t byte = (uint8_t)(value >> (8 * i));

		if (at < table_bytes)
			m->table[at] = (uint8_t)((m->table[at] & ~mask) |
						 (byte & mask));
	}
	/*
	 * An entry changed while unmasked is rerouted at once.  Software must
	 * mask it first (PCI 6.8.2.9), so this need not be atomic.
	 */
	for (uint64_t at = offset / PCI_MSIX_ENTRY_SIZE;
	     at * PCI_MSIX_ENTRY_SIZE < offset + size && at < m->count; at++)
		vector_sync(f, (unsigned int)at);
	pthread_mutex_unlock(&f->irq_lock);
}

/* On failure pci_msix_free() frees what was allocated. */
int pci_function_msix(struct pci_function *f, unsigned int count,
		      unsigned int bar)
{
	struct pci_msix *m = &f->msix;
	unsigned int cap;

	m->table = calloc(count, PCI_MSIX_ENTRY_SIZE);
	m->vectors = calloc(count, sizeof(*m->vectors));
	if (!m->table || !m->vectors)
		return -ENOMEM;
	for (unsigned int i = 0; i < count; i++)
		m->vectors[i].gsi = m->vectors[i].eventfd = -1;
	m->count = count;
	m->bar = bar;
	pci_function_bar(f, bar, PCI_MSIX_BAR_SIZE);
	cap = pci_function_capability(f, PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);
	m->cap = cap;
	pci_config_put(f, cap + PCI_MSIX_FLAGS, 2, count - 1);
	pci_config_allow(f, cap + PCI_MSIX_FLAGS, 2,
			 PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	pci_config_put(f, cap + PCI_MSIX_TABLE, 4, bar);
	pci_config_put(f, cap + PCI_MSIX_PBA, 4, PCI_MSIX_PBA_AT | bar);
	pci_config_put(f, PCI_INTERRUPT_PIN, 1, 1);
	return 0;
}

int pci_msix_attach(struct pci_function *f)
{
	struct pci_msix *m = &f->msix;

	for (unsigned int i = 0; i < m->count; i++) {
		struct pci_vector *v = &m->vectors[i];

		v->gsi = irq_msi_alloc(f->host->config.irqs);
		if (v->gsi < 0)
			return v->gsi;
		v->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (v->eventfd < 0)
			return -errno;
	}
	pthread_mutex_lock(&f->irq_lock);
	pci_msix_reset(f);
	pthread_mutex_unlock(&f->irq_lock);
	return 0;
}

void pci_msix_free(struct pci_function *f)
{
	struct pci_msix *m = &f->msix;

	for (unsigned int i = 0; i < m->count; i++) {
		struct pci_vector *v = &m->vectors[i];

		vector_unbind(f, v);
		if (v->eventfd >= 0)
			close(v->eventfd);
		if (v->gsi >= 0)
			irq_msi_free(f->host->config.irqs, v->gsi);
	}
	free(m->table);
	free(m->vectors);
	memset(m, 0, sizeof(*m));
}

void pci_msix_save(struct pci_function *f, struct snap_writer *w)
{
	struct pci_msix *m = &f->msix;

	pthread_mutex_lock(&f->irq_lock);
	snap_put_u16(w, (uint16_t)m->count);
	snap_put_bytes(w, m->table, (size_t)m->count * PCI_MSIX_ENTRY_SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(m->pending); i++)
		snap_put_u64(w, m->pending[i]);
	pthread_mutex_unlock(&f->irq_lock);
}

void pci_msix_load(struct pci_function *f, struct snap_reader *r)
{
	struct pci_msix *m = &f->msix;

	if (snap_get_u16(r) != m->count)
		snap_reader_fail(r);
	pthread_mutex_lock(&f->irq_lock);
	for (unsigned int i = 0; i < m->count; i++) {
		uint8_t entry[PCI_MSIX_ENTRY_SIZE];

		snap_get_bytes(r, entry, sizeof(entry));
		for (size_t b = 0; b < sizeof(entry); b++)
			entry_of(m, i)[b] = entry[b] & entry_writable[b];
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(m->pending); i++)
		m->pending[i] = snap_get_u64(r);
	for (unsigned int i = m->count; i < PCI_MSIX_MAX; i++)
		m->pending[i / 64] &= ~pending_bit(i);
	pthread_mutex_unlock(&f->irq_lock);
}
