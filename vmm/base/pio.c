/* SPDX-License-Identifier: BSD-2-Clause */
/* See the header.  No state. */
#include "vmm/base/pio.h"

#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

static int read_all(int fd, uint8_t *to, uint64_t len, uint64_t offset,
		    bool until_signal)
{
	while (len) {
		ssize_t n = pread(fd, to, len, (off_t)offset);

		if (n < 0 && errno == EINTR && !until_signal)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		to += n;
		len -= (uint64_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int pread_all(int fd, void *to, uint64_t len, uint64_t offset)
{
	return read_all(fd, to, len, offset, false);
}

int pread_until_signal(int fd, void *to, uint64_t len, uint64_t offset)
{
	return read_all(fd, to, len, offset, true);
}

int pwrite_all(int fd, const void *from, uint64_t len, uint64_t offset)
{
	const uint8_t *p = from;

	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		len -= (uint64_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}
