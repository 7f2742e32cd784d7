/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk image on the host: a raw file or a block device.
 *
 * The operations below run on any number of threads at a time; disk_open() to
 * disk_set_direct() and disk_close() on one. Offsets and lengths are in bytes; if the
 * size of the image is not a multiple of 512, its tail is not used. io/disk_aio.h
 * runs the operations without blocking its caller.
 *
 * An error of the host in one of the operations below is counted and logged:
 * one line with the disk, the operation and the error, at most once in ten
 * seconds for each operation. Other errors (-EROFS, -EOPNOTSUPP, -EFAULT of the
 * caller's buffer) are left to the caller.
 */
#ifndef VMM_IO_DISK_H
#define VMM_IO_DISK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/base/log.h"
#include "vmm/io/direct.h"
#include "vmm/io/disk_changes.h"

struct overlay;

/* Operations with separate error counts. */
enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DISCARD, DISK_OPS };

/* "read", "write", "flush", "discard". */
extern const char *const disk_op_names[DISK_OPS];

/* The errors of one operation. */
struct disk_errors {
	_Atomic uint64_t count;
	struct log_rate rate;
};

/* What runs requests in the background; see io/disk_aio.h. */
enum disk_aio_kind { DISK_AIO_AUTO, DISK_AIO_URING, DISK_AIO_THREADS };

struct disk {
	int fd;
	/* The same file, for all data; see disk_set_direct(). */
	struct direct direct;
	uint64_t size_bytes;
	/* Transfers are of multiples, a power of two: 512, more with O_DIRECT. */
	uint32_t block_bytes;
	uint32_t discard_bytes; /* what the host discards and zeroes at least */
	bool read_only;
	enum disk_aio_kind aio; /* set by the owner; AUTO after disk_open() */
	char *path; /* owned */
	char *origin; /* owned; see disk_name(); NULL: the path */
	bool private; /* it ends with this process; see disk_open_private() */
	struct overlay *overlay; /* owned; of all data; NULL: none */
	struct disk_changes changes;
	atomic_bool ending; /* see disk_set_ending() */
	pthread_mutex_t
		sync_lock; /* one sync at a time; guards the next three */
	int saved_error; /* of disk_sync() for the next flush; 0: none */
	int last_error; /* of the last sync that failed */
	_Atomic uint64_t failed_syncs; /* read without the lock */
	pthread_mutex_t lock; /* guards the rates of errors */
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

/*
 * Opens a disk that begins with the contents of the file @base_fd, of @size_bytes,
 * and is this process's own: nothing is written to the file, and nothing is left
 * after disk_close().  It is a clone of the file where its file system can share
 * blocks, made in the directory @dir_fd without a name; else an overlay (io/overlay.h)
 * in a file without a name in $TMPDIR, or /var/tmp.  @path, of the file, is for
 * messages.  -errno, logged.  Takes ownership of @base_fd, also on failure.
 */
int disk_open_private(struct disk *disk, int base_fd, int dir_fd,
		      uint64_t size_bytes, const char *path);

/*
 * What the disk is to the guest and to a snapshot: the path of the file that it was
 * first, even where it is a copy of that now.
 */
static inline const char *disk_name(const struct disk *disk)
{
	return disk->origin ? disk->origin : disk->path;
}

/*
 * Bypasses the host's page cache from now on (O_DIRECT); before any request.
 * Sets @block_bytes to the size of the host's blocks, if that is more than 512.
 * -errno, logged, also where it is more than 4096.
 */
int disk_set_direct(struct disk *disk);

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
 * Reads for a copy: as disk_readv(), but silent and not counted.  next_data: finds the
 * first range at or after @at that is not a hole; false: there is none.
 */
int disk_peek(struct disk *disk, void *to, uint64_t bytes, uint64_t offset);
bool disk_next_data(const struct disk *disk, uint64_t at, uint64_t *start,
		    uint64_t *end);

/*
 * Flush by the guest: fdatasync(2); 0 or -errno, also the error saved by
 * disk_sync(), and that of a sync which failed after the flush was requested:
 * disk_failed_syncs() was @failed_before then.
 */
uint64_t disk_failed_syncs(const struct disk *disk);
int disk_flush(struct disk *disk, uint64_t failed_before);

/*
 * A write that is complete when it is on the disk.  One at a time: an error is
 * reported to the write that it belongs to.
 */
int disk_write_through(struct disk *disk, const struct iovec *iov, int count,
		       uint64_t offset);

/*
 * The operations end with -EINTR where a signal interrupts them, and flushes that
 * have not begun do at once; such errors are neither logged nor counted.  Otherwise
 * interrupted operations are repeated.
 */
void disk_set_ending(struct disk *disk, bool ending);

/*
 * Flush for a snapshot, while no flush of the guest runs. An error is saved for the
 * guest's next flush, which would miss it otherwise, and returned by a sync before
 * that. Silent.
 */
int disk_sync(struct disk *disk);

/*
 * Discards a range, which reads as zeros afterwards if the host guarantees that;
 * parts of the host's blocks at its ends stay as they are.  -EOPNOTSUPP if
 * unsupported.
 */
int disk_discard(struct disk *disk, uint64_t offset, uint64_t len_bytes);

/*
 * Zeroes a range; @unmap allows the host to free the blocks. Where the host
 * cannot do it, as for a part of one of its blocks, zeros are written.
 */
int disk_write_zeroes(struct disk *disk, uint64_t offset, uint64_t len_bytes,
		      bool unmap);

#endif
