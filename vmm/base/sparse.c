/* SPDX-License-Identifier: BSD-2-Clause */
/* See the header.  No state. */
#include "vmm/base/sparse.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/pio.h"

bool sparse_next_data(int fd, uint64_t at, uint64_t limit, uint64_t *start,
		      uint64_t *end)
{
	off_t found = lseek(fd, (off_t)at, SEEK_DATA);

	if (at >= limit || (found < 0 && errno == ENXIO))
		return false;
	/* A block device, for example. */
	*start = found < 0 ? at : (uint64_t)found;
	found = found < 0 ? -1 : lseek(fd, found, SEEK_HOLE);
	*end = found < 0 ? limit : min_u64((uint64_t)found, limit);
	return *start < *end;
}

static bool is_zero(const uint8_t *data, uint64_t len)
{
	return !data[0] && !memcmp(data, data + 1, len - 1);
}

/* Makes a hole; zeros are written where that is not possible. */
static int write_hole(int fd, const uint8_t *zeros, uint64_t len,
		      uint64_t offset)
{
	int r;

	do
		r = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      (off_t)offset, (off_t)len);
	while (r < 0 && errno == EINTR);
	return r < 0 ? pwrite_all(fd, zeros, len, offset) : 0;
}

/* The first bytes of @data that are all zero, or not; in whole units. */
static uint64_t run_of(const uint8_t *data, uint64_t len, bool *zero)
{
	uint64_t n = min_u64(len, SPARSE_BYTES);

	*zero = is_zero(data, n);
	while (n < len) {
		uint64_t next = min_u64(len - n, SPARSE_BYTES);

		if (is_zero(data + n, next) != *zero)
			break;
		n += next;
	}
	return n;
}

int sparse_write(int fd, const void *data, uint64_t len, uint64_t offset,
		 bool fresh)
{
	const uint8_t *bytes = data;
	int r = 0;

	while (r == 0 && len) {
		bool zero;
		uint64_t n = run_of(bytes, len, &zero);

		if (!zero)
			r = pwrite_all(fd, bytes, n, offset);
		else if (!fresh)
			r = write_hole(fd, bytes, n, offset);
		bytes += n;
		len -= n;
		offset += n;
	}
	return r;
}

int sparse_clone(int to, int from, uint64_t bytes)
{
	if (ioctl(to, FICLONE, from) < 0)
		return -errno;
	return ftruncate(to, (off_t)bytes) < 0 ? -errno : 0;
}

/* Copies a range of data. */
static int copy_range(int to, int from, uint64_t start, uint64_t end,
		      uint8_t *buffer)
{
	int r = 0;

	while (r == 0 && start < end) {
		uint64_t n = min_u64(end - start, SPARSE_PIECE_BYTES);

		r = pread_all(from, buffer, n, start);
		if (r == 0)
			r = sparse_write(to, buffer, n, start, true);
		start += n;
	}
	return r;
}

int sparse_copy(int to, int from, uint64_t bytes)
{
	CLEANUP_FREE uint8_t *buffer = NULL;
	uint64_t at = 0, start;
	int r = 0;

	if (sparse_clone(to, from, bytes) == 0)
		return 0;
	if (ftruncate(to, (off_t)bytes) < 0)
		return -errno;
	buffer = malloc(SPARSE_PIECE_BYTES);
	if (!buffer)
		return -ENOMEM;
	while (r == 0 && sparse_next_data(from, at, bytes, &start, &at)) {
		start = align_down(start, SPARSE_BYTES);
		at = min_u64(align_up(at, SPARSE_BYTES), bytes);
		r = copy_range(to, from, start, at, buffer);
	}
	return r;
}
