/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The split virtqueue, device side (virtio 1.2, 2.7).
 *
 * virtq_pop() is the only place that walks descriptors: it reads each one once,
 * checks it, and hands out a snapshot, so that nothing a guest changes later
 * can change what was checked.
 *
 * Loop thread only; no lock.  Rings and buffers are reached by memory_map(),
 * which populates them; hence never call this with a lock held.
 */
#ifndef VMM_VIRTIO_QUEUE_H
#define VMM_VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/mem/memory.h"
#include "vmm/virtio/iov.h"

/* Maximum entries of a ring, and descriptors of a chain. */
#define VIRTQ_SIZE_MAX 1024

/*
 * The longest chain in bytes (virtio 1.2, 2.7.5.2 allows no more than 4 GiB
 * either).
 */
#define VIRTQ_CHAIN_BYTES_MAX (UINT64_C(1) << 32)

/* Where the driver put a queue; guest-visible, hostile. */
struct virtq_layout {
	uint16_t size; /* entries */
	gpa_t desc, avail, used;
};

struct virtq_desc;

struct virtq {
	const struct memory *memory;
	uint16_t size; /* entries, a power of two; 0: not set up */
	bool event_idx, indirect; /* as negotiated */
	/* The rings, in guest memory. */
	const struct virtq_desc *desc;
	uint16_t *avail; /* flags, idx, ring[size], used_event */
	uint16_t *used; /* flags, idx, ring[size] of 8 bytes, avail_event */
	/* Free-running indices; saved with the device. */
	uint16_t next_avail, next_used;
	/* next_used at the last call of virtq_wants_interrupt(). */
	uint16_t signalled;
	bool signalled_valid; /* false: interrupt in any case */
};

/* A chain taken from the queue: what the device may read, then write. */
struct virtq_chain {
	uint16_t head;
	struct iovs readable, writable;
	struct iovec iov[VIRTQ_SIZE_MAX];
};

/*
 * Maps the rings and starts at index @next_avail and @next_used, 0 for a new
 * queue.  -EINVAL (size, alignment) or errors of memory_map(); @q is not
 * set up then.  Silent.
 */
int virtq_setup(struct virtq *q, const struct memory *memory,
		const struct virtq_layout *layout, uint16_t next_avail,
		uint16_t next_used);

/*
 * Pops the next chain: 1, 0 if there is none, or -errno for an invalid chain or
 * an unavailable page (-EIO); *@why is the reason then, a constant string.
 */
int virtq_pop(struct virtq *q, struct virtq_chain *chain, const char **why);

/* Returns the @count chains popped last to the avail ring. */
void virtq_unpop(struct virtq *q, unsigned int count);

/*
 * Notes what the device may have written to chain @head, whose descriptors still
 * describe it: a driver that changes them before the chain is used spoils its own
 * snapshot only.  virtq_push() does so.
 */
void virtq_note(struct virtq *q, uint16_t head);

/* Adds chain @head to the used ring, with @len bytes written to it. */
void virtq_push(struct virtq *q, uint16_t head, uint32_t len);

/* Whether the driver wants an interrupt for the pushes since the last call. */
bool virtq_wants_interrupt(struct virtq *q);

/*
 * Disable and enable kicks.  True: a chain is already available, for which no
 * kick may come, so the caller must pop it.
 */
void virtq_kicks_off(struct virtq *q);
bool virtq_kicks_on(struct virtq *q);

#endif
