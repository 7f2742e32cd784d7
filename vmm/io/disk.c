// SPDX-License-Identifier: BSD-2-Clause
/*
 * Raw disk images, by plain system calls.
 *
 * The only mutable state beside the descriptors are the error counts and whether the
 * disk ends, which are atomic (relaxed: they order nothing), the rates of the log
 * lines, which a lock guards, and the errors of syncs, which another guards.
 * What a snapshot or an overlay needs is in disk_changes.c and overlay.c. The
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
#include "vmm/base/sparse.h"
#include "vmm/io/overlay.h"
#include "vmm/io/transfer.h"

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

static bool is_ending(const struct disk *disk)
{
	return atomic_load_explicit(&disk->ending, memory_order_relaxed);
}

void disk_set_ending(struct disk *disk, bool ending)
{
	atomic_store_explicit(&disk->ending, ending, memory_order_relaxed);
}

/* Whether @err is an error of the host, not a refusal. */
static bool is_host_error(const struct disk *disk, int err)
{
	/* By the kicks of pool_destroy(). */
	if (err == -EINTR && is_ending(disk))
		return false;
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
	bool log;

	if (!is_host_error(disk, err))
		return err;
	pthread_mutex_lock(&disk->lock);
	atomic_fetch_add_explicit(&e->count, 1, memory_order_relaxed);
	log = log_rate_take(&e->rate, disk_errors(disk, op), more);
	pthread_mutex_unlock(&disk->lock);
	if (log)
		log_error("disk %s: %s%s: %s%s", disk->path,
			  disk->overlay ? "overlay: " : "", disk_op_names[op],
			  why ? why : strerror(-err), more);
	return err;
}

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

/* The unit of fallocate(2): a logical block of a device, nothing of a file. */
static uint32_t discard_unit(int fd)
{
	int bytes;

	if (ioctl(fd, BLKSSZGET, &bytes) < 0 || bytes < SECTOR_BYTES ||
	    !is_power_of_two((uint64_t)bytes))
		return SECTOR_BYTES;
	return (uint32_t)bytes;
}

int disk_open(struct disk *disk, const char *path, bool read_only)
{
	/* O_NONBLOCK: opening a FIFO must not block. */
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
	/* io_uring takes it for "never wait", whatever the file system is. */
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) < 0)
		return log_errno(errno, "disk %s", path);
	if (flock(fd, (read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return log_fail(EBUSY, "disk %s: in use by another VM",
					path);
		return log_errno(errno, "lock disk %s", path);
	}
	*disk = (struct disk){ .size_bytes = size,
			       .block_bytes = SECTOR_BYTES,
			       .discard_bytes = discard_unit(fd),
			       .read_only = read_only,
			       .direct = { .fd = -1 } };
	disk->path = strdup(path);
	if (!disk->path)
		return log_errno(ENOMEM, "disk %s", path);
	pthread_mutex_init(&disk->sync_lock, NULL);
	pthread_mutex_init(&disk->lock, NULL);
	disk->fd = take_fd(&fd);
	return 0;
}

int disk_set_direct(struct disk *disk)
{
	int err;

	disk->direct.ending = &disk->ending;
	err = direct_open(&disk->direct, disk->fd, disk->path, disk->read_only);
	if (err == 0)
		err = direct_check(&disk->direct, disk->path, disk->size_bytes);
	if (err < 0)
		direct_close(&disk->direct);
	else if (disk->direct.block_bytes > disk->block_bytes)
		disk->block_bytes = disk->direct.block_bytes;
	return err;
}

void disk_close(struct disk *disk)
{
	if (!disk->path)
		return;
	close(disk->fd);
	direct_close(&disk->direct);
	overlay_destroy(disk->overlay);
	disk_changes_finish(&disk->changes);
	pthread_mutex_destroy(&disk->lock);
	pthread_mutex_destroy(&disk->sync_lock);
	free(disk->path);
	free(disk->origin);
	*disk = (struct disk){ .fd = -1, .direct = { .fd = -1 } };
}

/* Transfers all of @iov: with O_DIRECT never through the page cache. */
static int transfer(struct disk *disk, const struct iovec *iov, int count,
		    uint64_t offset, bool write)
{
	if (disk->overlay)
		return overlay_transfer(disk->overlay, iov, count, offset,
					write);
	if (disk->direct.fd >= 0)
		return direct_transfer(&disk->direct, iov, count, offset,
				       write);
	return transfer_all(disk->fd, iov, count, offset, write, &disk->ending);
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

int disk_peek(struct disk *disk, void *to, uint64_t bytes, uint64_t offset)
{
	struct iovec iov = { to, bytes };
	int err = transfer(disk, &iov, 1, offset, false);

	return err == TRANSFER_SHORT ? -EIO : err;
}

bool disk_next_data(const struct disk *disk, uint64_t at, uint64_t *start,
		    uint64_t *end)
{
	return disk->overlay ?
		       overlay_next_data(disk->overlay, at, start, end) :
		       sparse_next_data(disk->fd, at, disk->size_bytes, start,
					end);
}

static uint64_t iovec_bytes(const struct iovec *iov, int count)
{
	uint64_t bytes = 0;

	for (int i = 0; i < count; i++)
		bytes += iov[i].iov_len;
	return bytes;
}

/* Notes a change that is complete; one that failed may have been done in part. */
static void note_change(struct disk *disk, uint64_t offset, uint64_t bytes)
{
	if (bytes)
		disk_changes_note(&disk->changes, offset, bytes);
}

int disk_writev(struct disk *disk, const struct iovec *iov, int count,
		uint64_t offset)
{
	int err;

	if (disk->read_only)
		return -EROFS;
	err = transfer(disk, iov, count, offset, true);
	note_change(disk, offset, iovec_bytes(iov, count));
	return note(disk, DISK_WRITE, err == TRANSFER_SHORT ? -EIO : err, NULL);
}

uint64_t disk_failed_syncs(const struct disk *disk)
{
	return atomic_load_explicit(&disk->failed_syncs, memory_order_relaxed);
}

/*
 * fdatasync(2), or an error that the caller must hear of: a saved one, or that of a
 * sync that has failed since there were @failed_before, because the kernel reports
 * lost writes to one sync only. With sync_lock; silent.
 */
static int sync_locked(struct disk *disk, uint64_t failed_before)
{
	int err = disk->saved_error;

	disk->saved_error = 0;
	if (fdatasync(disk->fd) < 0)
		err = -errno;
	if (err < 0) {
		disk->last_error = err;
		atomic_fetch_add_explicit(&disk->failed_syncs, 1,
					  memory_order_relaxed);
	} else if (disk_failed_syncs(disk) != failed_before) {
		err = disk->last_error;
	}
	return err;
}

int disk_flush(struct disk *disk, uint64_t failed_before)
{
	int err;

	pthread_mutex_lock(&disk->sync_lock);
	err = is_ending(disk) ? -EINTR : sync_locked(disk, failed_before);
	pthread_mutex_unlock(&disk->sync_lock);
	return note(disk, DISK_FLUSH, err, NULL);
}

int disk_write_through(struct disk *disk, const struct iovec *iov, int count,
		       uint64_t offset)
{
	int err;

	/* The sync of another write would take the error of this one. */
	pthread_mutex_lock(&disk->sync_lock);
	err = is_ending(disk) ? -EINTR : disk_writev(disk, iov, count, offset);
	if (err == 0)
		err = note(disk, DISK_FLUSH,
			   sync_locked(disk, disk_failed_syncs(disk)), NULL);
	pthread_mutex_unlock(&disk->sync_lock);
	return err;
}

/* The kernel reports lost writes once; saves the error for the next flush. */
int disk_sync(struct disk *disk)
{
	int err;

	pthread_mutex_lock(&disk->sync_lock);
	err = sync_locked(disk, disk_failed_syncs(disk));
	disk->saved_error = err;
	pthread_mutex_unlock(&disk->sync_lock);
	return err;
}

/* fallocate(2) with EINTR retried. Also works on block devices. */
static int allocate(struct disk *disk, int mode, uint64_t offset, uint64_t len)
{
	int err;

	if (disk->overlay)
		return overlay_zero(disk->overlay, offset, len);
	do
		err = fallocate(disk->fd, mode | FALLOC_FL_KEEP_SIZE,
				(off_t)offset, (off_t)len);
	while (err < 0 && errno == EINTR && !is_ending(disk));
	return err < 0 ? -errno : 0;
}

/* Zeroes a range by such a call. */
static int zero_range(struct disk *disk, int mode, uint64_t offset,
		      uint64_t len)
{
	int err;

	if (disk->read_only)
		return -EROFS;
	err = allocate(disk, mode, offset, len);
	note_change(disk, offset, len);
	return err;
}

int disk_discard(struct disk *disk, uint64_t offset, uint64_t len_bytes)
{
	uint64_t start = align_up(offset, disk->discard_bytes);
	uint64_t end = align_down(offset + len_bytes, disk->discard_bytes);

	if (start >= end)
		return disk->read_only ? -EROFS : 0;
	return note(disk, DISK_DISCARD,
		    zero_range(disk, FALLOC_FL_PUNCH_HOLE, start, end - start),
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
	int mode = unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE, err;

	if ((offset | len_bytes) & (disk->discard_bytes - 1))
		return write_zeros(disk, offset, len_bytes);
	err = zero_range(disk, mode, offset, len_bytes);
	/* disk_writev() counts its own errors. */
	if (err == -EOPNOTSUPP || err == -ENODEV)
		return write_zeros(disk, offset, len_bytes);
	return note(disk, unmap ? DISK_DISCARD : DISK_WRITE, err, NULL);
}
