// SPDX-License-Identifier: BSD-2-Clause
/* See the header.  Stateless; guest memory is touched here. */
#include "vmm/fs/span.h"

#include <string.h>

#include "vmm/base/bytes.h"

struct span span_of(const struct iovec *iov, unsigned int count)
{
	struct span s = { .iov = iov, .count = count };

	for (unsigned int i = 0; i < count; i++)
		s.left += iov[i].iov_len;
	return s;
}

/* The piece at the front, of at most @max bytes; its length. */
static size_t front(struct span *s, size_t max, void **at)
{
	while (s->count && s->used == s->iov->iov_len) {
		s->iov++;
		s->count--;
		s->used = 0;
	}
	if (!s->count)
		return 0;
	*at = (char *)s->iov->iov_base + s->used;
	return min_u64(max, s->iov->iov_len - s->used);
}

/* Drops @len bytes of the piece at the front. */
static void advance(struct span *s, size_t len)
{
	s->used += len;
	s->left -= len;
}

bool span_get(struct span *s, void *to, size_t len)
{
	void *at;

	if (len > s->left)
		return false;
	for (size_t done = 0, n; done < len; done += n) {
		n = front(s, len - done, &at);
		memcpy((char *)to + done, at, n);
		advance(s, n);
	}
	return true;
}

bool span_put(struct span *s, const void *from, size_t len)
{
	void *at;

	if (len > s->left)
		return false;
	for (size_t done = 0, n; done < len; done += n) {
		n = front(s, len - done, &at);
		memcpy(at, (const char *)from + done, n);
		advance(s, n);
	}
	return true;
}

void span_skip(struct span *s, size_t len)
{
	void *at;

	for (size_t n; len && (n = front(s, len, &at)); len -= n)
		advance(s, n);
}

unsigned int span_iov(const struct span *s, size_t max, struct iovec *iov)
{
	struct span rest = *s;
	unsigned int n = 0;

	while (max) {
		size_t len = front(&rest, max, &iov[n].iov_base);

		if (!len)
			break;
		advance(&rest, len);
		iov[n++].iov_len = len;
		max -= len;
	}
	return n;
}
