/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A run of guest memory, in the pieces that the driver cut it into; used up from
 * its front.  The iovecs are borrowed and not changed.
 */
#ifndef VMM_FS_SPAN_H
#define VMM_FS_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct span {
	const struct iovec *iov;
	unsigned int count;
	size_t used; /* bytes of the first iovec */
	size_t left; /* bytes in all */
};

struct span span_of(const struct iovec *iov, unsigned int count);

/* Copies @len bytes off the front; false, and nothing, when there are fewer. */
bool span_get(struct span *s, void *to, size_t len);
bool span_put(struct span *s, const void *from, size_t len);

/* Drops @len bytes at the front, or all there are. */
void span_skip(struct span *s, size_t len);

/*
 * The first @max bytes as iovecs for preadv() in @iov, which has as many
 * elements as the span.  Their number.
 */
unsigned int span_iov(const struct span *s, size_t max, struct iovec *iov);

#endif
