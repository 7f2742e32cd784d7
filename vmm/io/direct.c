// SPDX-License-Identifier: BSD-2-Clause
/*
 * O_DIRECT: what the host requires of offsets and buffers, and a copy for buffers
 * that differ.
 */
#include "vmm/io/direct.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/io/transfer.h"

#define BLOCK_MIN    512
#define BLOCK_MAX    DIRECT_BLOCK_BYTES_MAX
#define BOUNCE_BYTES MIB /* of a copy, at most */
#define BOUNCE_ALIGN BLOCK_MAX

/* What the kernel says (Linux 6.1 and later, not each file system). */
static int ask(struct direct *direct)
{
#ifdef STATX_DIOALIGN
	struct statx st;

	if (statx(direct->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) < 0 ||
	    !(st.stx_mask & STATX_DIOALIGN))
		return -ENODATA;
	if (st.stx_dio_mem_align == 0 || st.stx_dio_offset_align == 0)
		return -EOPNOTSUPP;
	direct->memory_bytes = st.stx_dio_mem_align;
	direct->block_bytes = st.stx_dio_offset_align;
	return 0;
#else
	(void)direct;
	return -ENODATA;
#endif
}

/* The smallest block that can be read; buffers are assumed to need the same. */
static int try(struct direct *direct)
{
	CLEANUP_FREE void *buffer = aligned_alloc(BOUNCE_ALIGN, BLOCK_MAX);
	uint32_t bytes = BLOCK_MIN;

	if (!buffer)
		return -ENOMEM;
	while (pread(direct->fd, buffer, bytes, 0) < 0) {
		if (errno != EINVAL)
			return -errno;
		if (bytes == BLOCK_MAX)
			return -EOPNOTSUPP;
		bytes *= 2;
	}
	direct->memory_bytes = direct->block_bytes = bytes;
	return 0;
}

int direct_check(const struct direct *direct, const char *path,
		 uint64_t size_bytes)
{
	if (direct->block_bytes > BLOCK_MAX)
		return log_fail(EOPNOTSUPP,
				"disk %s: direct: the host's block size is %u "
				"bytes, the maximum is %u; omit direct",
				path, direct->block_bytes, BLOCK_MAX);
	if (size_bytes & (direct->block_bytes - 1))
		return log_fail(
			EOPNOTSUPP,
			"disk %s: direct: its size is not a multiple of "
			"the host's block size of %u bytes; omit direct",
			path, direct->block_bytes);
	return 0;
}

int direct_open(struct direct *direct, int fd, const char *path, bool read_only)
{
	char link[32];
	int err;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	direct->fd = open(link, O_CLOEXEC | O_DIRECT |
					(read_only ? O_RDONLY : O_RDWR));
	/* EINVAL: the file system has no O_DIRECT (open(2)). */
	err = direct->fd >= 0 ? ask(direct) :
	      errno == EINVAL ? -EOPNOTSUPP :
				-errno;
	if (err == -ENODATA)
		err = try(direct);
	if (err == -EOPNOTSUPP)
		err = log_fail(EOPNOTSUPP,
			       "disk %s: direct: its file system does not "
			       "support O_DIRECT; omit direct",
			       path);
	else if (err < 0)
		err = log_errno(-err, "disk %s: direct", path);
	if (err < 0)
		direct_close(direct);
	return err;
}

void direct_close(struct direct *direct)
{
	if (direct->fd >= 0)
		close(direct->fd);
	direct->fd = -1;
}

/* Whether all buffers are aligned. */
static bool buffers_fit(const struct direct *direct, const struct iovec *iov,
			int count)
{
	for (int i = 0; i < count; i++)
		if ((uintptr_t)iov[i].iov_base & (direct->memory_bytes - 1) ||
		    iov[i].iov_len & (direct->block_bytes - 1))
			return false;
	return true;
}

bool direct_fits(const struct direct *direct, const struct iovec *iov,
		 int count, uint64_t offset)
{
	return !(offset & (direct->block_bytes - 1)) &&
	       buffers_fit(direct, iov, count);
}

/* Where a copy is in the list of buffers. */
struct place {
	const struct iovec *iov;
	size_t done; /* bytes of the first one */
};

/* Copies @len bytes between @bytes and the buffers, and advances. */
static void copy(struct place *at, char *bytes, size_t len, bool write)
{
	while (len) {
		size_t n = min_u64(len, at->iov->iov_len - at->done);
		char *guest = (char *)at->iov->iov_base + at->done;

		if (write)
			memcpy(bytes, guest, n);
		else
			memcpy(guest, bytes, n);
		bytes += n;
		len -= n;
		at->done += n;
		if (at->done == at->iov->iov_len)
			*at = (struct place){ .iov = at->iov + 1 };
	}
}

/* Transfers through a buffer of our own. */
static int bounce(const struct direct *direct, const struct iovec *iov,
		  uint64_t bytes, uint64_t offset, bool write)
{
	size_t size = align_up(min_u64(bytes, BOUNCE_BYTES), BOUNCE_ALIGN);
	CLEANUP_FREE char *buffer = aligned_alloc(BOUNCE_ALIGN, size);
	struct place at = { .iov = iov };
	int err = 0;

	if (!buffer)
		return -ENOMEM;
	while (bytes && err == 0) {
		struct iovec one = { buffer, min_u64(bytes, size) };

		if (write)
			copy(&at, buffer, one.iov_len, true);
		err = transfer_all(direct->fd, &one, 1, offset, write,
				   direct->ending);
		if (err == 0 && !write)
			copy(&at, buffer, one.iov_len, false);
		offset += one.iov_len;
		bytes -= one.iov_len;
	}
	return err;
}

int direct_transfer(const struct direct *direct, const struct iovec *iov,
		    int count, uint64_t offset, bool write)
{
	uint64_t bytes = 0;
	int err = -EFAULT;

	for (int i = 0; i < count; i++)
		bytes += iov[i].iov_len;
	if ((offset | bytes) & (direct->block_bytes - 1))
		return -EINVAL;
	if (buffers_fit(direct, iov, count))
		err = transfer_all(direct->fd, iov, count, offset, write,
				   direct->ending);
	/* Or the kernel cannot pin the buffers. */
	return err == -EFAULT ? bounce(direct, iov, bytes, offset, write) : err;
}
