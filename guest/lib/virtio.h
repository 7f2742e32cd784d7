/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The little of virtio 1.2 over PCI (sections 2 and 4.1) that a guest needs: a
 * device made ready, and queues of one buffer at a time, polled.
 */
#ifndef GUEST_VIRTIO_H
#define GUEST_VIRTIO_H

#include <stdbool.h>
#include <stdint.h>

#include "guest/lib/pci.h"

#define VIRTIO_QUEUE_SIZE 2

/* A split queue (2.7) of which only the first descriptor is used. */
struct virtio_queue {
	struct {
		uint64_t address;
		uint32_t length;
		uint16_t flags, next;
	} descriptors[VIRTIO_QUEUE_SIZE] __attribute__((aligned(16)));
	struct {
		uint16_t flags, index, ring[VIRTIO_QUEUE_SIZE];
	} avail;
	struct {
		uint16_t flags, index;
		struct {
			uint32_t id, length;
		} ring[VIRTIO_QUEUE_SIZE];
	} used __attribute__((aligned(4)));
	uint16_t number, done;
	volatile uint16_t *notify;
};

struct virtio {
	struct pci_function function;
	volatile uint8_t *common, *notify;
	uint32_t notify_multiplier;
};

/* Finds the first device of an id (section 5) and resets it. */
bool virtio_find(const struct machine *machine, unsigned int id,
		 struct virtio *device);

/* Agrees to VIRTIO_F_VERSION_1 and to nothing else. */
bool virtio_negotiate(struct virtio *device);

/* Sets up queue @number in *@queue, zeroed memory that stays. */
bool virtio_add_queue(struct virtio *device, uint16_t number,
		      struct virtio_queue *queue);

/* The device may work from here on. */
void virtio_ready(struct virtio *device);

/* The steps of using a buffer: offered, to be read or written; said; done. */
void virtio_offer(struct virtio_queue *queue, const void *data, uint32_t length,
		  bool device_writes);
void virtio_notify(struct virtio_queue *queue);
bool virtio_is_done(const struct virtio_queue *queue);

/*
 * Gives the device @length bytes to read and waits until it has; false when that
 * takes very long.
 */
bool virtio_send(struct virtio_queue *queue, const void *data, uint32_t length);

#endif
