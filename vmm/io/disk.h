/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk image on the host: a raw file or a block device.
 *
 * Any one thread at a time.  Offsets and lengths are in bytes; the image's size
 * is a multiple of 512 or its tail is not used.
 */
#ifndef VMM_IO_DISK_H
#define VMM_IO_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct disk {
	int fd;
	uint64_t size_bytes;
	bool read_only;
	char *path; /* owned */
	int sync_error; /* of disk_sync(), for the next flush; 0: none */
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

/*
 * Transfers the whole of @iov at @offset; 0, or -errno (-EIO for a file that
 * ends early, -EROFS, -ENOSPC...).  Silent.
 */
int disk_readv(struct disk *disk, const struct iovec *iov, int count,
	       uint64_t offset);
int disk_writev(struct disk *disk, const struct iovec *iov, int count,
		uint64_t offset);

/*
 * Flushes for the guest: fdatasync, or the error that disk_sync() has kept; 0
 * or -errno.  Silent.
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
 * when it cannot.  Silent.
 */
int disk_discard(struct disk *disk, uint64_t offset, uint64_t len_bytes);
int disk_write_zeroes(struct disk *disk, uint64_t offset, uint64_t len_bytes,
		      bool unmap);

#endif
