/* SPDX-License-Identifier: BSD-2-Clause */
/* The transport and the queue of lib/virtio.h; one processor at a time. */
#include <stdatomic.h>
#include <stddef.h>

#include "guest/lib/cpu.h"
#include "guest/lib/virtio.h"

#define VENDOR_VIRTIO 0x1af4
#define DEVICE_FIRST  0x1040 /* 4.1.2: plus the device id */

/* PCI: command, capabilities, BARs. */
#define REG_COMMAND	0x04
#define COMMAND_MEM_DMA 0x0006
#define REG_BAR		0x10
#define BAR_64		0x4
#define REG_CAPS	0x34
#define CAP_VENDOR	0x09

/* struct virtio_pci_cap (4.1.4). */
#define CAP_TYPE       3
#define CAP_BAR	       4
#define CAP_OFFSET     8
#define CAP_MULTIPLIER 16
#define TYPE_COMMON    1
#define TYPE_NOTIFY    2

/* struct virtio_pci_common_cfg (4.1.4.3). */
#define DEVICE_FEATURE_SELECT 0x00
#define DEVICE_FEATURE	      0x04
#define DRIVER_FEATURE_SELECT 0x08
#define DRIVER_FEATURE	      0x0c
#define DEVICE_STATUS	      0x14
#define QUEUE_SELECT	      0x16
#define QUEUE_SIZE	      0x18
#define QUEUE_ENABLE	      0x1c
#define QUEUE_NOTIFY_OFF      0x1e
#define QUEUE_DESCRIPTORS     0x20
#define QUEUE_AVAIL	      0x28
#define QUEUE_USED	      0x30

/* Device status (2.1); VIRTIO_F_VERSION_1 is bit 32 (6). */
#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER	   2
#define STATUS_DRIVER_OK   4
#define STATUS_FEATURES_OK 8
#define VERSION_1_HIGH	   1

/* Polls before a timeout: some seconds. */
#define POLLS 20000000

static uint64_t get(const struct virtio *v, unsigned int reg, unsigned int size)
{
	return mmio_access((uintptr_t)v->common + reg, size, false, 0);
}

static void set(const struct virtio *v, unsigned int reg, unsigned int size,
		uint64_t value)
{
	mmio_access((uintptr_t)v->common + reg, size, true, value);
}

/* Writes a 64-bit field as two halves (4.1.3.1). */
static void set64(const struct virtio *v, unsigned int reg, uint64_t value)
{
	set(v, reg, 4, (uint32_t)value);
	set(v, reg + 4, 4, value >> 32);
}

static void add_status(const struct virtio *v, uint64_t bits)
{
	set(v, DEVICE_STATUS, 1, get(v, DEVICE_STATUS, 1) | bits);
}

static uint64_t bar_address(const struct pci_function *f, unsigned int bar)
{
	uint32_t low = pci_read32(f, REG_BAR + 4 * bar);
	uint64_t high = 0;

	if (low & BAR_64)
		high = pci_read32(f, REG_BAR + 4 * bar + 4);
	return high << 32 | (low & ~0xfu);
}

/* Finds the two structures in the list of capabilities. */
static bool find_structures(struct virtio *v)
{
	const struct pci_function *f = &v->function;
	unsigned int cap = pci_read8(f, REG_CAPS);

	for (unsigned int i = 0; cap && i < 64; i++) {
		volatile uint8_t *at =
			(volatile uint8_t
				 *)(uintptr_t)(bar_address(
						       f,
						       pci_read8(
							       f,
							       cap + CAP_BAR) %
							       6) +
					       pci_read32(f, cap + CAP_OFFSET));
		unsigned int type = pci_read8(f, cap + CAP_TYPE);

		if (pci_read8(f, cap) == CAP_VENDOR && type == TYPE_COMMON) {
			v->common = at;
		} else if (pci_read8(f, cap) == CAP_VENDOR &&
			   type == TYPE_NOTIFY) {
			v->notify = at;
			v->notify_multiplier =
				pci_read32(f, cap + CAP_MULTIPLIER);
		}
		cap = pci_read8(f, cap + 1);
	}
	return v->common && v->notify;
}

bool virtio_find(const struct machine *machine, unsigned int id,
		 struct virtio *v)
{
	*v = (struct virtio){ 0 };
	while (pci_next(machine, &v->function)) {
		if (v->function.vendor != VENDOR_VIRTIO ||
		    v->function.device != DEVICE_FIRST + id)
			continue;
		pci_write16(&v->function, REG_COMMAND, COMMAND_MEM_DMA);
		if (!find_structures(v))
			return false;
		set(v, DEVICE_STATUS, 1, 0);
		return get(v, DEVICE_STATUS, 1) == 0;
	}
	return false;
}

bool virtio_negotiate(struct virtio *v, uint32_t low)
{
	add_status(v, STATUS_ACKNOWLEDGE);
	add_status(v, STATUS_DRIVER);
	set(v, DEVICE_FEATURE_SELECT, 4, 1);
	if (!(get(v, DEVICE_FEATURE, 4) & VERSION_1_HIGH))
		return false;
	set(v, DEVICE_FEATURE_SELECT, 4, 0);
	if (low & ~get(v, DEVICE_FEATURE, 4))
		return false;
	set(v, DRIVER_FEATURE_SELECT, 4, 0);
	set(v, DRIVER_FEATURE, 4, low);
	set(v, DRIVER_FEATURE_SELECT, 4, 1);
	set(v, DRIVER_FEATURE, 4, VERSION_1_HIGH);
	add_status(v, STATUS_FEATURES_OK);
	return get(v, DEVICE_STATUS, 1) & STATUS_FEATURES_OK;
}

volatile uint16_t *virtio_place_queue(struct virtio *v, uint16_t number,
				      const struct virtio_place *place)
{
	set(v, QUEUE_SELECT, 2, number);
	if (get(v, QUEUE_SIZE, 2) < place->size)
		return NULL;
	set(v, QUEUE_SIZE, 2, place->size);
	set64(v, QUEUE_DESCRIPTORS, (uintptr_t)place->descriptors);
	set64(v, QUEUE_AVAIL, (uintptr_t)place->avail);
	set64(v, QUEUE_USED, (uintptr_t)place->used);
	set(v, QUEUE_ENABLE, 2, 1);
	return (volatile uint16_t *)(v->notify + get(v, QUEUE_NOTIFY_OFF, 2) *
							 v->notify_multiplier);
}

bool virtio_add_queue(struct virtio *v, uint16_t number, struct virtio_queue *q)
{
	const struct virtio_place place = { VIRTIO_QUEUE_SIZE, q->descriptors,
					    &q->avail, &q->used };

	q->number = number;
	q->avail.flags = VIRTIO_RING_QUIET;
	q->notify = virtio_place_queue(v, number, &place);
	return q->notify != NULL;
}

void virtio_ready(struct virtio *v)
{
	add_status(v, STATUS_DRIVER_OK);
}

/*
 * Fences of 2.7.13: descriptor before index, index before notification, used
 * index before used element.
 */
void virtio_offer(struct virtio_queue *q, const void *data, uint32_t length,
		  bool device_writes)
{
	q->descriptors[0].address = (uintptr_t)data;
	q->descriptors[0].length = length;
	q->descriptors[0].flags = device_writes ? VIRTIO_DESCRIPTOR_WRITE : 0;
	q->avail.ring[q->avail.index % VIRTIO_QUEUE_SIZE] = 0;
	atomic_thread_fence(memory_order_seq_cst);
	q->avail.index++;
	atomic_thread_fence(memory_order_seq_cst);
	q->done++;
}

void virtio_notify(struct virtio_queue *q)
{
	*q->notify = q->number;
}

bool virtio_is_done(const struct virtio_queue *q)
{
	const volatile uint16_t *used = &q->used.index;

	if (*used != q->done)
		return false;
	atomic_thread_fence(memory_order_acquire);
	return true;
}

bool virtio_send(struct virtio_queue *q, const void *data, uint32_t length)
{
	virtio_offer(q, data, length, false);
	virtio_notify(q);
	for (unsigned int i = 0; i < POLLS; i++) {
		if (virtio_is_done(q))
			return true;
		cpu_relax();
	}
	return false;
}
