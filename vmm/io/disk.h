/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk image on the host: a raw file or a block device.
 *
 * One thread at a time, except disk_errors(). Offsets and lengths are in bytes;
 * if the size of the image is not a multiple of 512, its tail is not used.
 *
 * An error of the host in one of the operations below is counted and logged:
 * one line with the disk, the operation and the error, at most once in ten
 * seconds for each operation. Other errors (-EROFS, -EOPNOTSUPP, -EFAULT of the
 * caller's buffer) are left to the caller.
 */
#ifndef VMM_IO_DISK_H
#define VMM_IO_DISK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/base/log.h"

/* Operations with separate error counts. */
enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DISCARD, DISK_OPS };

/* "read", "write", "flush", "discard". */
extern const char *const disk_op_names[DISK_OPS];

/* The errors of one operation. */
struct disk_errors {
	_Atomic uint64_t count;
	struct log_rate rate;
};

struct disk {
	int fd;
	uint64_t size_bytes;
	bool read_only;
	char *path; /* owned */
	int sync_error; /* error of disk_sync() for the next flush; 0: none */
	struct disk_errors errors[DISK_OPS];
};

/*
 * Opens @path. -errno, logged, also for a directory and for an image smaller
 * than a sector. A lock (flock) keeps two VMs from writing to one image:
 * exclusive for writing, shared for reading.
 */
int disk_open(struct disk *disk, const char *path, bool read_only);

/*
 * The same for an open descriptor, readable, and writable unless @read_only;
 * @path is for messages. Takes ownership of @fd, also on failure.
 */
int disk_take(struct disk *disk, int fd, const char *path, bool read_only);
void disk_close(struct disk *disk);

/* The number of failed operations @op; any thread. */
uint64_t disk_errors(const struct disk *disk, enum disk_op op);

/*
 * Transfers all of @iov at @offset; 0, or -errno (-EIO at the end of the file,
 * -EROFS, -ENOSPC...).
 */
int disk_readv(struct disk *disk, const struct iovec *iov, int count,
	       uint64_t offset);
int disk_writev(struct disk *disk, const struct iovec *iov, int count,
		uint64_t offset);

/*
 * Flush by the guest: fdatasync(2), or the error saved by disk_sync(); 0 or
 * -errno.
 */
int disk_flush(struct disk *disk);

/*
 * Flush for a snapshot. An error is saved for the guest's next flush, which
 * would miss it otherwise, and returned by a sync before that. Silent.
 */
int disk_sync(struct disk *disk);

/*
 * Discards a range, which reads as zeros afterwards if the host guarantees that.
 * -EOPNOTSUPP if unsupported.
 */
int disk_discard(struct disk *disk, uint64_t offset, uint64_t len_bytes);

/*
 * Zeroes a range; @unmap allows the host to free the blocks. Where the host
 * cannot do it, zeros are written.
 */
int disk_write_zeroes(struct disk *disk, uint64_t offset, uint64_t len_bytes,
		      bool unmap);

#endif
