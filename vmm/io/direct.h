/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file without the host's page cache (O_DIRECT), whatever the alignment of the
 * buffers: those that the host does not accept are copied.  Any thread.
 *
 * The page cache is not used for parts of a block either: the kernel does not keep
 * it coherent with asynchronous direct writes to a block device.  So all offsets and
 * lengths must be whole blocks, and a host with larger blocks than a guest can be
 * given is refused.
 */
#ifndef VMM_IO_DIRECT_H
#define VMM_IO_DIRECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* The largest blocks that a driver accepts: those of Linux are at most a page. */
#define DIRECT_BLOCK_BYTES_MAX 4096

struct direct {
	int fd; /* owned; -1: not in use */
	const atomic_bool *ending; /* as of transfer_all(); the owner sets it */
	uint32_t memory_bytes; /* alignment of a buffer; a power of two */
	uint32_t block_bytes; /* alignment of offsets and lengths; likewise */
};

/*
 * Opens the file of @fd once more, for reading, and for writing unless
 * @read_only.  -errno, logged with @path: -EOPNOTSUPP if the host has no O_DIRECT for
 * it.
 */
int direct_open(struct direct *direct, int fd, const char *path,
		bool read_only);

/*
 * -EOPNOTSUPP, logged with @path, where blocks are larger than a guest's can be, or
 * @size_bytes is not a multiple of them.
 */
int direct_check(const struct direct *direct, const char *path,
		 uint64_t size_bytes);
void direct_close(struct direct *direct);

/* Whether the host accepts these buffers at @offset without a copy. */
bool direct_fits(const struct direct *direct, const struct iovec *iov,
		 int count, uint64_t offset);

/*
 * Transfers as transfer_all() does.  -EINVAL where @offset or the length are not
 * whole blocks; silent.  The buffers must be mapped: they may be copied.
 */
int direct_transfer(const struct direct *direct, const struct iovec *iov,
		    int count, uint64_t offset, bool write);

#endif
