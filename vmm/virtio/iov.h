/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A list of buffers consumed from its ends: a device parses a request without
 * depending on how the driver split it into descriptors (virtio 1.2, 2.7.4.1:
 * devices make no assumption about the framing).
 */
#ifndef VMM_VIRTIO_IOV_H
#define VMM_VIRTIO_IOV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Consumed in place; the vectors belong to the chain. */
struct iovs {
	struct iovec *iov;
	unsigned int count;
	uint64_t bytes; /* of all of them */
};

/* Drops up to @len bytes from the front. */
void iovs_skip(struct iovs *v, uint64_t len);

/* Moves up to @len bytes from the front to @to; returns the number. */
size_t iovs_take(struct iovs *v, void *to, size_t len);

/* Writes up to @len bytes at the front and drops them; returns the number. */
size_t iovs_put(struct iovs *v, const void *from, size_t len);

/* Drops the last byte; returns its address, or NULL if there is none. */
uint8_t *iovs_cut_last(struct iovs *v);

#endif
