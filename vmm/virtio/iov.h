/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A run of buffers that is used up from its ends: how a device takes a request
 * apart without caring how the driver cut it into descriptors (virtio 1.2,
 * 2.7.4.1: devices make no assumption about the framing).
 */
#ifndef VMM_VIRTIO_IOV_H
#define VMM_VIRTIO_IOV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Changed in place; the vectors belong to the chain. */
struct iovs {
	struct iovec *iov;
	unsigned int count;
	uint64_t bytes; /* of all of them */
};

/* Drops up to @len bytes at the front. */
void iovs_skip(struct iovs *v, uint64_t len);

/* Copies @len bytes off the front into @to; how many there were. */
size_t iovs_take(struct iovs *v, void *to, size_t len);

/* Copies @len bytes into the front and drops them; how many had room. */
size_t iovs_put(struct iovs *v, const void *from, size_t len);

/* Drops the last byte; where it is, or NULL when there is none. */
uint8_t *iovs_cut_last(struct iovs *v);

#endif
