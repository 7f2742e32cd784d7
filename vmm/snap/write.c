/* SPDX-License-Identifier: BSD-2-Clause */
/* pwrite(2) for the writers of a snapshot's files.  Any thread. */
#include <errno.h>
#include <unistd.h>

#include "vmm/snap/write.h"

int snap_write_at(int fd, const void *data, uint64_t len, uint64_t offset)
{
	const uint8_t *p = data;

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
