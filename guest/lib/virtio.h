/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A minimal virtio 1.2 PCI driver (sections 2 and 4.1): device set-up, and
 * polled queues of one buffer at a time.
 */
#ifndef GUEST_VIRTIO_H
#define GUEST_VIRTIO_H

#include <stdbool.h>
#include <stdint.h>

#include "guest/lib/pci.h"

#define VIRTIO_QUEUE_SIZE 2

/* Flags of a descriptor (2.7.5); of a ring: no interrupt, or no notification. */
#define VIRTIO_DESCRIPTOR_NEXT	1
#define VIRTIO_DESCRIPTOR_WRITE 2
#define VIRTIO_RING_QUIET	1

/* The members of a struct that are a split queue (2.7) of @size entries. */
#define VIRTIO_RINGS(size)                                \
	struct {                                          \
		uint64_t address;                         \
		uint32_t length;                          \
		uint16_t flags, next;                     \
	} descriptors[size] __attribute__((aligned(16))); \
	struct {                                          \
		uint16_t flags, index, ring[size];        \
	} avail;                                          \
	struct {                                          \
		uint16_t flags, index;                    \
		struct {                                  \
			uint32_t id, length;              \
		} ring[size];                             \
	} used __attribute__((aligned(4)))

/* A queue of which only the first descriptor is used. */
struct virtio_queue {
	VIRTIO_RINGS(VIRTIO_QUEUE_SIZE);
	uint16_t number, done;
	volatile uint16_t *notify;
};

struct virtio {
	struct pci_function function;
	volatile uint8_t *common, *notify;
	uint32_t notify_multiplier;
};

/* Finds the first device with an id (section 5) and resets it. */
bool virtio_find(const struct machine *machine, unsigned int id,
		 struct virtio *device);

/* Accepts VIRTIO_F_VERSION_1 and, of features 0 to 31, @low if all are offered. */
bool virtio_negotiate(struct virtio *device, uint32_t low);

/* Sets up queue @number in *@queue, which is zeroed and stays valid. */
bool virtio_add_queue(struct virtio *device, uint16_t number,
		      struct virtio_queue *queue);

/* Where a queue of another size is. */
struct virtio_place {
	uint16_t size; /* entries */
	const void *descriptors, *avail, *used;
};

/*
 * Sets up queue @number there, and returns where to write @number to notify; NULL: the
 * device has no such queue, or a smaller one.
 */
volatile uint16_t *virtio_place_queue(struct virtio *device, uint16_t number,
				      const struct virtio_place *place);

/* Sets DRIVER_OK, after the queues are set up. */
void virtio_ready(struct virtio *device);

/* One buffer: offer it (to be read or written), notify, poll for completion. */
void virtio_offer(struct virtio_queue *queue, const void *data, uint32_t length,
		  bool device_writes);
void virtio_notify(struct virtio_queue *queue);
bool virtio_is_done(const struct virtio_queue *queue);

/* Sends @length bytes and waits for completion; false after a long timeout. */
bool virtio_send(struct virtio_queue *queue, const void *data, uint32_t length);

#endif
