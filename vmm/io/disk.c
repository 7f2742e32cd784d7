// SPDX-License-Identifier: BSD-2-Clause
/*
 * Raw disk images, by plain system calls.
 *
 * The only mutable state beside the descriptor are the error counts, which are
 * atomic (relaxed: they order nothing) because other threads read them. The
 * device has checked requests against the size; the kernel checks the rest.
 */
#include "vmm/io/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"

#define SECTOR_BYTES 512
#define ZERO_BYTES \
	(64 * KIB) /* per write, without kernel support for zeroing */

const char *const disk_op_names[DISK_OPS] = {
	[DISK_READ] = "read",
	[DISK_WRITE] = "write",
	[DISK_FLUSH] = "flush",
	[DISK_DISCARD] = "discard",
};

uint64_t disk_errors(const struct disk *disk, enum disk_op op)
{
	return atomic_load_explicit(&disk->errors[op].count,
				    memory_order_relaxed);
}

/* Whether @err is an error of the host, not a refusal. */
static bool is_host_error(int err)
{
	return err < 0 && err != -EROFS && err != -EOPNOTSUPP && err != -EFAULT;
}

/*
 * Counts an error, and logs it unless rate-limited; @why replaces the text of @err
 * unless NULL. Returns @err.
 */
static int note(struct disk *disk, enum disk_op op, int err, const char *why)
{
	struct disk_errors *e = &disk->errors[op];
	char more[LOG_RATE_TEXT_BYTES];

	if (!is_host_error(err))
		return err;
	atomic_fetch_add_explicit(&e->count, 1, memory_order_relaxed);
	if (log_rate_take(&e->rate, disk_errors(disk, op), more))
		log_error("disk %s: %s: %s%s", disk->path, disk_op_names[op],
			  why ? why : strerror(-err), more);
	return err;
}

/* Returned by transfer() at the end of the file. */
#define TRANSFER_SHORT 1

/* The size of an open image; -errno, logged. */
static int image_size(int fd, const char *path, uint64_t *size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return log_errno(errno, "disk %s", path);
	if (S_ISDIR(st.st_mode))
		return log_errno(EISDIR, "disk %s", path);
	if (S_ISREG(st.st_mode))
		*size = (uint64_t)st.st_size;
	else if (!S_ISBLK(st.st_mode))
		return log_fail(EINVAL,
				"disk %s: not a regular file or block device",
				path);
	else if (ioctl(fd, BLKGETSIZE64, size) < 0)
		return log_errno(errno, "disk %s: size", path);
	if (*size < SECTOR_BYTES)
		return log_fail(EINVAL, "disk %s: %s", path,
				*size ? "smaller than one sector" : "empty");
	if (*size % SECTOR_BYTES)
		log_warn("disk %s: size is not a multiple of 512 bytes; the "
			 "guest cannot access the last %u bytes",
			 path, (unsigned int)(*size % SECTOR_BYTES));
	*size = align_down(*size, SECTOR_BYTES);
	return 0;
}

int disk_open(struct disk *disk, const char *path, bool read_only)
{
	/* O_NONBLOCK: opening a FIFO must not block. No effect on files. */
	int flags = O_CLOEXEC | O_NONBLOCK | (read_only ? O_RDONLY : O_RDWR);
	int fd = open(path, flags);

	if (fd < 0)
		return log_errno(errno, "open disk %s%s", path,
				 read_only ? "" : " for writing");
	return disk_take(disk, fd, path, read_only);
}

int disk_take(struct disk *disk, int open_fd, const char *path, bool read_only)
{
	CLEANUP_CLOSE int fd = open_fd;
	uint64_t size;
	int err;

	err = image_size(fd, path, &size);
	if (err < 0)
		return err;
	if (flock(fd, (read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return log_fail(EBUSY, "disk %s: in use by another VM",
					path);
		return log_errno(errno, "lock disk %s", path);
	}
	*disk = (struct disk){ .size_bytes = size, .read_only = read_only };
	disk->path = strdup(path);
	if (!disk->path)
		return log_errno(ENOMEM, "disk %s", path);
	disk->fd = take_fd(&fd);
	return 0;
}

void disk_close(struct disk *disk)
{
	if (!disk->path)
		return;
	close(disk->fd);
	free(disk->path);
	*disk = (struct disk){ .fd = -1 };
}

/*
 * Transfers all of @iov by preadv(2) or pwritev(2), continuing after short
 * transfers, which occur at 2 GiB or after a signal. 0, -errno, or
 * TRANSFER_SHORT.
 */
static int transfer(struct disk *disk, const struct iovec *iov, int count,
		    uint64_t offset, bool write)
{
	struct iovec part;
	size_t skip = 0; /* bytes of iov[0] that are done */

	while (count > 0) {
		ssize_t n;

		/* Finish a partly transferred vector separately. */
		part = (struct iovec){
			.iov_base = (char *)iov->iov_base + skip,
			.iov_len = iov->iov_len - skip,
		};
		if (write)
			n = pwritev(disk->fd, skip ? &part : iov,
				    skip ? 1 : count, (off_t)offset);
		else
			n = preadv(disk->fd, skip ? &part : iov,
				   skip ? 1 : count, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0 && part.iov_len)
			return TRANSFER_SHORT;
		offset += (uint64_t)n;
		skip += (size_t)n;
		while (count > 0 && skip >= iov->iov_len) {
			skip -= iov->iov_len;
			iov++;
			count--;
		}
	}
	return 0;
}

int disk_readv(struct disk *disk, const struct iovec *iov, int count,
	       uint64_t offset)
{
	int err = transfer(disk, iov, count, offset, false);

	if (err == TRANSFER_SHORT)
		return note(disk, DISK_READ, -EIO,
			    "image was truncated after it was opened");
	return note(disk, DISK_READ, err, NULL);
}

int disk_writev(struct disk *disk, const struct iovec *iov, int count,
		uint64_t offset)
{
	int err;

	if (disk->read_only)
		return -EROFS;
	err = transfer(disk, iov, count, offset, true);
	return note(disk, DISK_WRITE, err == TRANSFER_SHORT ? -EIO : err, NULL);
}

/* fdatasync(2), or the saved error. Silent. */
static int flush(struct disk *disk)
{
	int err = disk->sync_error;

	disk->sync_error = 0;
	if (fdatasync(disk->fd) < 0)
		err = -errno;
	return err;
}

int disk_flush(struct disk *disk)
{
	return note(disk, DISK_FLUSH, flush(disk), NULL);
}

int disk_sync(struct disk *disk)
{
	/*
	 * The kernel reports lost writes once; save the error for the next
	 * flush.
	 */
	disk->sync_error = flush(disk);
	return disk->sync_error;
}

/* fallocate(2) with EINTR retried. Also works on block devices. */
static int allocate(struct disk *disk, int mode, uint64_t offset, uint64_t len)
{
	int err;

	if (disk->read_only)
		return -EROFS;
	do
		err = fallocate(disk->fd, mode | FALLOC_FL_KEEP_SIZE,
				(off_t)offset, (off_t)len);
	while (err < 0 && errno == EINTR);
	return err < 0 ? -errno : 0;
}

int disk_discard(struct disk *disk, uint64_t offset, uint64_t len_bytes)
{
	return note(disk, DISK_DISCARD,
		    allocate(disk, FALLOC_FL_PUNCH_HOLE, offset, len_bytes),
		    NULL);
}

/* Writes zeros, for hosts without support for zeroing. */
static int write_zeros(struct disk *disk, uint64_t offset, uint64_t len_bytes)
{
	CLEANUP_FREE void *zeros = calloc(1, ZERO_BYTES);
	int err = 0;

	if (!zeros)
		return -ENOMEM;
	while (len_bytes && err == 0) {
		struct iovec iov = {
			.iov_base = zeros,
			.iov_len = min_u64(len_bytes, ZERO_BYTES),
		};

		err = disk_writev(disk, &iov, 1, offset);
		offset += iov.iov_len;
		len_bytes -= iov.iov_len;
	}
	return err;
}

int disk_write_zeroes(struct disk *disk, uint64_t offset, uint64_t len_bytes,
		      bool unmap)
{
	int err = allocate(disk,
			   unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE,
			   offset, len_bytes);

	/* disk_writev() counts its own errors. */
	if (err == -EOPNOTSUPP || err == -ENODEV)
		return write_zeros(disk, offset, len_bytes);
	return note(disk, unmap ? DISK_DISCARD : DISK_WRITE, err, NULL);
}
