// SPDX-License-Identifier: BSD-2-Clause
/*
 * The thread that has the chain: the loop, or a thread of a disk that runs its
 * request.  The buffers are guest memory and may change at any time, so no
 * byte is read twice.
 */
#include "vmm/virtio/iov.h"

#include <string.h>

#include "vmm/base/bytes.h"

/* Drops @len bytes of the first vector; it is at least that long. */
static void front_drop(struct iovs *v, size_t len)
{
	v->iov->iov_base = (char *)v->iov->iov_base + len;
	v->iov->iov_len -= len;
	v->bytes -= len;
	if (v->iov->iov_len == 0) {
		v->iov++;
		v->count--;
	}
}

void iovs_skip(struct iovs *v, uint64_t len)
{
	while (len && v->count) {
		size_t n = min_u64(len, v->iov->iov_len);

		front_drop(v, n);
		len -= n;
	}
}

size_t iovs_take(struct iovs *v, void *to, size_t len)
{
	size_t done = 0;

	while (done < len && v->count) {
		size_t n = min_u64(len - done, v->iov->iov_len);

		memcpy((char *)to + done, v->iov->iov_base, n);
		front_drop(v, n);
		done += n;
	}
	return done;
}

size_t iovs_put(struct iovs *v, const void *from, size_t len)
{
	size_t done = 0;

	while (done < len && v->count) {
		size_t n = min_u64(len - done, v->iov->iov_len);

		memcpy(v->iov->iov_base, (const char *)from + done, n);
		front_drop(v, n);
		done += n;
	}
	return done;
}

uint8_t *iovs_cut_last(struct iovs *v)
{
	struct iovec *last;

	if (v->count == 0)
		return NULL;
	last = &v->iov[v->count - 1];
	last->iov_len--;
	v->bytes--;
	if (last->iov_len == 0)
		v->count--;
	return (uint8_t *)last->iov_base + last->iov_len;
}
