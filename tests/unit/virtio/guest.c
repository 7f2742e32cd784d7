// SPDX-License-Identifier: BSD-2-Clause
/*
 * A guest without a processor.  A failure here is a broken test and aborts; the
 * tests check what the device does.
 */
#include "guest.h"

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/bus/loop.h"
#include "vmm/pci/private.h"

#define ECAM	    UINT64_C(0xe0000000)
#define WINDOW	    UINT64_C(0xe1000000)
#define WINDOW_SIZE (16 * MIB)

#define CHECK(condition)                                                   \
	do {                                                               \
		if (!(condition)) {                                        \
			fprintf(stdout, "%s:%d: %s\n", __FILE__, __LINE__, \
				#condition);                               \
			abort();                                           \
		}                                                          \
	} while (0)

static uint32_t same_line(uint32_t gsi)
{
	return gsi;
}

static size_t no_routes(struct kvm_irq_routing_entry *entries, size_t room)
{
	(void)entries;
	(void)room;
	return 0;
}

static const struct irq_map irq_map = {
	.line_count = 24,
	.msi_first = 24,
	.line_encode = same_line,
	.line_routes = no_routes,
};

void guest_init(struct guest *g)
{
	static const struct memory_range ranges[] = {
		{ .gpa = 0, .size_bytes = GUEST_LOW_BYTES },
		{ .gpa = GUEST_HIGH, .size_bytes = GUEST_HIGH_BYTES },
	};
	const struct memory_config memory = {
		.backing = MEMORY_ANON,
		.ranges = ranges,
		.range_count = ARRAY_SIZE(ranges),
	};
	struct pci_host_config pci = {
		.mmio = &g->bus,
		.irqs = &g->irqs,
		.ecam_gpa = ECAM,
		.ecam_bytes = MIB,
		.mmio_gpa = WINDOW,
		.mmio_bytes = WINDOW_SIZE,
		.intx_first = GUEST_INTX,
		.intx_count = 4,
	};

	memset(g, 0, sizeof(*g));
	g->stderr_fd = g->log_fd = -1;
	CHECK(memory_init(&g->memory, &memory, NULL) == 0);
	CHECK(bus_init(&g->bus) == 0);
	CHECK(irqs_init(&g->irqs, NULL, &irq_map) == 0);
	CHECK(loop_create(&g->loop) == 0);
	CHECK(loop_start(g->loop) == 0);
	CHECK(pci_host_create(&g->pci, &pci) == 0);
	g->host = (struct virtio_host){
		.memory = &g->memory,
		.pci = g->pci,
		.loop = g->loop,
	};
}

void guest_destroy(struct guest *g, struct device *device)
{
	loop_stop(g->loop);
	device->ops->destroy(device->state);
	CHECK(loop_start(g->loop) == 0);
}

void guest_finish(struct guest *g)
{
	struct device pci;

	if (g->stderr_fd >= 0)
		guest_log_end(g);
	pci_host_device(g->pci, &pci);
	pci.ops->destroy(pci.state);
	loop_destroy(g->loop);
	CHECK(g->bus.count == 0);
	irqs_finish(&g->irqs);
	bus_finish(&g->bus);
	memory_finish(&g->memory);
}

static void nothing(void *ctx)
{
	(void)ctx;
}

void guest_sync(struct guest *g)
{
	/* A call runs after the events that were there before it. */
	loop_call(g->loop, nothing, NULL);
	loop_call(g->loop, nothing, NULL);
}

void guest_log_begin(struct guest *g)
{
	g->log_fd = memfd_create("log", MFD_CLOEXEC);
	g->stderr_fd = dup(STDERR_FILENO);
	CHECK(g->log_fd >= 0 && g->stderr_fd >= 0);
	dup2(g->log_fd, STDERR_FILENO);
}

unsigned int guest_log_end(struct guest *g)
{
	unsigned int lines = 0;
	char c;

	/* What the loop does now may end with a line. */
	guest_sync(g);
	dup2(g->stderr_fd, STDERR_FILENO);
	close(g->stderr_fd);
	for (off_t at = 0; pread(g->log_fd, &c, 1, at) == 1; at++)
		lines += c == '\n';
	close(g->log_fd);
	g->stderr_fd = g->log_fd = -1;
	return lines;
}

uint64_t guest_read(struct guest *g, uint64_t at, unsigned int size)
{
	uint8_t bytes[8];

	bus_read(&g->bus, at, bytes, size);
	return get_le(bytes, size);
}

void guest_write(struct guest *g, uint64_t at, unsigned int size,
		 uint64_t value)
{
	uint8_t bytes[8];

	put_le(bytes, value, size);
	bus_write(&g->bus, at, bytes, size);
}

uint64_t guest_config_read(struct guest *g, unsigned int slot, unsigned int reg,
			   unsigned int size)
{
	return guest_read(g, ECAM + ((uint64_t)slot << 15) + reg, size);
}

void guest_config_write(struct guest *g, unsigned int slot, unsigned int reg,
			unsigned int size, uint64_t value)
{
	guest_write(g, ECAM + ((uint64_t)slot << 15) + reg, size, value);
}

void *guest_ptr(struct guest *g, gpa_t gpa, uint64_t len)
{
	void *hva;

	CHECK(memory_map(&g->memory, gpa, len, &hva) == 0);
	return hva;
}

void guest_put16(struct guest *g, gpa_t gpa, uint16_t value)
{
	__atomic_store_n((uint16_t *)guest_ptr(g, gpa, 2), value,
			 __ATOMIC_SEQ_CST);
}

uint16_t guest_get16(struct guest *g, gpa_t gpa)
{
	return __atomic_load_n((uint16_t *)guest_ptr(g, gpa, 2),
			       __ATOMIC_SEQ_CST);
}

/* The address that a virtio capability points to. */
static uint64_t part_at(struct guest *g, unsigned int slot, unsigned int cap)
{
	unsigned int bar =
		(unsigned int)guest_config_read(g, slot,
						cap + VIRTIO_PCI_CAP_BAR, 1);

	return (guest_config_read(g, slot, PCI_BASE_ADDRESS_0 + 4 * bar, 4) &
		~UINT64_C(15)) +
	       guest_config_read(g, slot, cap + VIRTIO_PCI_CAP_OFFSET, 4);
}

/* Notes one capability. */
static void part_found(struct guest_device *d, unsigned int cap)
{
	struct guest *g = d->g;
	uint64_t at = part_at(g, d->slot, cap);

	switch (guest_config_read(g, d->slot, cap + VIRTIO_PCI_CAP_CFG_TYPE,
				  1)) {
	case VIRTIO_PCI_CAP_COMMON_CFG:
		d->common = at;
		break;
	case VIRTIO_PCI_CAP_ISR_CFG:
		d->isr = at;
		break;
	case VIRTIO_PCI_CAP_DEVICE_CFG:
		d->config = at;
		break;
	case VIRTIO_PCI_CAP_NOTIFY_CFG:
		d->notify = at;
		d->notify_step = (uint32_t)guest_config_read(
			g, d->slot, cap + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
		break;
	case VIRTIO_PCI_CAP_PCI_CFG:
		d->window_cap = cap;
		break;
	}
}

void guest_find(struct guest *g, struct guest_device *d, unsigned int slot)
{
	unsigned int cap, table;

	memset(d, 0, sizeof(*d));
	d->g = g;
	d->slot = slot;
	CHECK(guest_config_read(g, slot, PCI_VENDOR_ID, 2) == 0x1af4);
	cap = (unsigned int)guest_config_read(g, slot, PCI_CAPABILITY_LIST, 1);
	for (; cap;
	     cap = (unsigned int)guest_config_read(g, slot, cap + 1, 1)) {
		unsigned int id =
			(unsigned int)guest_config_read(g, slot, cap, 1);

		if (id == PCI_CAP_ID_VNDR)
			part_found(d, cap);
		if (id == PCI_CAP_ID_MSIX)
			d->msix_cap = cap;
	}
	CHECK(d->common && d->isr && d->notify && d->msix_cap && d->window_cap);
	guest_config_write(g, slot, PCI_COMMAND, 2,
			   PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	table = (unsigned int)guest_config_read(g, slot,
						d->msix_cap + PCI_MSIX_TABLE,
						4);
	d->msix = guest_config_read(g, slot,
				    PCI_BASE_ADDRESS_0 + 4 * (table & 7), 4) +
		  (table & ~7u);
	for (unsigned int v = 0; v <= GUEST_QUEUES; v++) {
		guest_write(g, d->msix + 16 * v, 8, 0xfee00000);
		guest_write(g, d->msix + 16 * v + 8, 8, 0x40 + v);
	}
	guest_config_write(g, slot, d->msix_cap + PCI_MSIX_FLAGS, 2,
			   PCI_MSIX_FLAGS_ENABLE);
}

uint64_t guest_common(struct guest_device *d, unsigned int at,
		      unsigned int size)
{
	return guest_read(d->g, d->common + at, size);
}

void guest_common_set(struct guest_device *d, unsigned int at,
		      unsigned int size, uint64_t value)
{
	guest_write(d->g, d->common + at, size, value);
}

uint8_t guest_status(struct guest_device *d)
{
	return (uint8_t)guest_common(d, VIRTIO_PCI_COMMON_STATUS, 1);
}

/* Adds bits to the status register, as drivers do. */
static void status_add(struct guest_device *d, uint8_t bits)
{
	guest_common_set(d, VIRTIO_PCI_COMMON_STATUS, 1,
			 guest_status(d) | bits);
}

void guest_negotiate(struct guest_device *d, uint64_t wanted)
{
	uint64_t offered = 0;

	guest_common_set(d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	status_add(d, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	status_add(d, VIRTIO_CONFIG_S_DRIVER);
	for (unsigned int i = 0; i < 2; i++) {
		guest_common_set(d, VIRTIO_PCI_COMMON_DFSELECT, 4, i);
		offered |= guest_common(d, VIRTIO_PCI_COMMON_DF, 4) << 32 * i;
	}
	d->features = offered & (wanted | UINT64_C(1) << VIRTIO_F_VERSION_1);
	for (unsigned int i = 0; i < 2; i++) {
		guest_common_set(d, VIRTIO_PCI_COMMON_GFSELECT, 4, i);
		guest_common_set(d, VIRTIO_PCI_COMMON_GF, 4,
				 d->features >> 32 * i & UINT32_MAX);
	}
	status_add(d, VIRTIO_CONFIG_S_FEATURES_OK);
	guest_common_set(d, VIRTIO_PCI_COMMON_MSIX, 2, 0);
	memset(d->queues, 0, sizeof(d->queues));
}

void guest_queue_start(struct guest_device *d, unsigned int q, uint16_t size,
		       gpa_t at)
{
	struct guest_queue *gq = &d->queues[q];

	*gq = (struct guest_queue){ .size = size,
				    .desc = at,
				    .avail = at + 0x4000,
				    .used = at + 0x8000 };
	memset(guest_ptr(d->g, at, 0x10000), 0, 0x10000);
	guest_common_set(d, VIRTIO_PCI_COMMON_Q_SELECT, 2, q);
	guest_common_set(d, VIRTIO_PCI_COMMON_Q_SIZE, 2, size);
	guest_common_set(d, VIRTIO_PCI_COMMON_Q_MSIX, 2, q + 1);
	guest_common_set(d, VIRTIO_PCI_COMMON_Q_DESCLO, 4, gq->desc);
	guest_common_set(d, VIRTIO_PCI_COMMON_Q_DESCHI, 4, 0);
	guest_common_set(d, VIRTIO_PCI_COMMON_Q_AVAILLO, 8, gq->avail);
	guest_common_set(d, VIRTIO_PCI_COMMON_Q_USEDLO, 8, gq->used);
	guest_common_set(d, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

void guest_driver_ok(struct guest_device *d)
{
	status_add(d, VIRTIO_CONFIG_S_DRIVER_OK);
}

void guest_start(struct guest_device *d, uint64_t wanted, unsigned int queues)
{
	guest_negotiate(d, wanted);
	for (unsigned int q = 0; q < queues; q++)
		guest_queue_start(d, q, 64, MIB + 0x10000 * q);
	guest_driver_ok(d);
}

void guest_desc(struct guest *g, gpa_t table, unsigned int index, gpa_t gpa,
		uint32_t len, uint16_t flags, uint16_t next)
{
	uint8_t *p = guest_ptr(g, table + 16 * index, 16);

	put_le64(p, gpa);
	put_le32(p + 8, len);
	put_le16(p + 12, flags);
	put_le16(p + 14, next);
}

void guest_offer(struct guest_device *d, unsigned int q, uint16_t head)
{
	struct guest_queue *gq = &d->queues[q];

	guest_put16(d->g, gq->avail + 4 + 2 * (gq->avail_idx % gq->size), head);
	guest_put16(d->g, gq->avail + 2, ++gq->avail_idx);
}

uint16_t guest_add(struct guest_device *d, unsigned int q,
		   const struct guest_buffer *buffers, unsigned int count)
{
	struct guest_queue *gq = &d->queues[q];
	uint16_t head = gq->next_desc % gq->size, at = head;

	for (unsigned int i = 0; i < count; i++) {
		uint16_t next = (uint16_t)((at + 1) % gq->size);
		bool last = i + 1 == count;

		guest_desc(d->g, gq->desc, at, buffers[i].gpa, buffers[i].len,
			   (uint16_t)(buffers[i].flags |
				      (last ? 0 : GUEST_NEXT)),
			   next);
		at = next;
	}
	gq->next_desc = at;
	guest_offer(d, q, head);
	return head;
}

uint16_t guest_add_indirect(struct guest_device *d, unsigned int q, gpa_t table,
			    const struct guest_buffer *buffers,
			    unsigned int count)
{
	struct guest_queue *gq = &d->queues[q];
	uint16_t head = gq->next_desc % gq->size;

	for (unsigned int i = 0; i < count; i++)
		guest_desc(d->g, table, i, buffers[i].gpa, buffers[i].len,
			   (uint16_t)(buffers[i].flags |
				      (i + 1 == count ? 0 : GUEST_NEXT)),
			   (uint16_t)(i + 1));
	guest_desc(d->g, gq->desc, head, table, 16 * count, GUEST_INDIRECT, 0);
	gq->next_desc = (uint16_t)((head + 1) % gq->size);
	guest_offer(d, q, head);
	return head;
}

void guest_kick(struct guest_device *d, unsigned int q)
{
	guest_write(d->g, d->notify + q * d->notify_step, 2, q);
}

bool guest_used_now(struct guest_device *d, unsigned int q, uint32_t *head,
		    uint32_t *len)
{
	struct guest_queue *gq = &d->queues[q];
	const uint8_t *entry;

	if (guest_get16(d->g, gq->used + 2) == gq->used_idx)
		return false;
	entry = guest_ptr(d->g, gq->used + 4 + 8 * (gq->used_idx % gq->size),
			  8);
	*head = get_le32(entry);
	*len = get_le32(entry + 4);
	gq->used_idx++;
	return true;
}

bool guest_used(struct guest_device *d, unsigned int q, uint32_t *head,
		uint32_t *len)
{
	static const struct timespec pause = { .tv_nsec = 100000 };

	for (unsigned int i = 0; i < 100000; i++) {
		if (guest_used_now(d, q, head, len))
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

uint64_t guest_fired(struct guest_device *d, unsigned int v)
{
	struct pci_function *f = d->g->pci->slots[d->slot];
	uint64_t count;

	/* The used ring is written before the interrupt is sent. */
	guest_sync(d->g);
	if (read(f->msix.vectors[v].eventfd, &count, sizeof(count)) < 0)
		return 0;
	return count;
}
