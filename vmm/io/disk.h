/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk image on the host: a raw file or a block device.
 *
 * Any one thread at a time, but for disk_errors().  Offsets and lengths are in
 * bytes; the image's size is a multiple of 512 or its tail is not used.
 *
 * An error of the host in one of the operations below is counted and logged: one
 * line with the disk, the operation and the error, and then no more than one in
 * ten seconds for each operation.  What is not an error of the host (-EROFS,
 * -EOPNOTSUPP, -EFAULT of the caller's buffer) is the caller's to judge.
 */
#ifndef VMM_IO_DISK_H
#define VMM_IO_DISK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* What is counted apart. */
enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DISCARD, DISK_OPS };

/* "read" and so on. */
extern const char *const disk_op_names[DISK_OPS];

/* The errors of one operation. */
struct disk_errors {
	_Atomic uint64_t count;
	/* When a line was written last, and how many had come by then. */
	uint64_t logged_ns, logged;
};

struct disk {
	int fd;
	uint64_t size_bytes;
	bool read_only;
	char *path; /* owned */
	int sync_error; /* of disk_sync(), for the next flush; 0: none */
	struct disk_errors errors[DISK_OPS];
};

/*
 * Opens @path.  A directory, an empty image, a file without permission: one
 * line with the name and the reason, and -errno.  A lock (flock) keeps two
 * machines from writing one image: exclusive for writing, shared for reading.
 */
int disk_open(struct disk *disk, const char *path, bool read_only);

/*
 * The same of a file that is open, for reading and writing unless @read_only;
 * @path names it in messages.  @fd becomes the disk's, also on failure.
 */
int disk_take(struct disk *disk, int fd, const char *path, bool read_only);
void disk_close(struct disk *disk);

/* How many of @op have failed; any thread. */
uint64_t disk_errors(const struct disk *disk, enum disk_op op);

/*
 * Transfers the whole of @iov at @offset; 0, or -errno (-EIO for a file that
 * ends early, -EROFS, -ENOSPC...).
 */
int disk_readv(struct disk *disk, const struct iovec *iov, int count,
	       uint64_t offset);
int disk_writev(struct disk *disk, const struct iovec *iov, int count,
		uint64_t offset);

/*
 * Flushes for the guest: fdatasync, or the error that disk_sync() has kept; 0
 * or -errno.
 */
int disk_flush(struct disk *disk);

/*
 * The same for a snapshot.  An error is kept for the guest's next flush, which
 * would not see it otherwise, and for a sync before that.  Silent.
 */
int disk_sync(struct disk *disk);

/*
 * Frees or zeroes a range: @unmap lets the host release the blocks; either way
 * it reads as zeros afterwards where the host can promise that.  -EOPNOTSUPP
 * when it cannot.
 */
int disk_discard(struct disk *disk, uint64_t offset, uint64_t len_bytes);
int disk_write_zeroes(struct disk *disk, uint64_t offset, uint64_t len_bytes,
		      bool unmap);

#endif
