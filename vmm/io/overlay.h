/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A copy-on-write overlay: a base file that is only read, and a store, a file of the
 * same size that has the blocks which were written.  Which blocks those are is in
 * memory, so the store means nothing without this process.
 *
 * Any number of threads at a time, except for create and destroy.  Silent.  Offsets
 * and lengths are in bytes, within the size.
 */
#ifndef VMM_IO_OVERLAY_H
#define VMM_IO_OVERLAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct overlay;

/* A block is in the store, or in the base, as a whole. */
#define OVERLAY_BLOCK_BYTES 4096

/*
 * The store @fd is a hole of @size_bytes; it stays the caller's and outlives the
 * overlay, as does @ending, as of transfer_all().  Takes @base_fd, unless it fails:
 * -ENOMEM.
 */
int overlay_create(struct overlay **overlay, int base_fd, int fd,
		   uint64_t size_bytes, const atomic_bool *ending);
/* Closes the base; the store stays open.  NULL is fine. */
void overlay_destroy(struct overlay *overlay);

/*
 * Transfers as transfer_all() does.  Of a block that several threads write, each byte
 * is that of one of them; a write that fails may have been done in part.
 */
int overlay_transfer(struct overlay *overlay, const struct iovec *iov,
		     int count, uint64_t offset, bool write);

/*
 * Zeroes whole blocks, and frees their space.  -EOPNOTSUPP where the file system of
 * the store cannot.
 */
int overlay_zero(struct overlay *overlay, uint64_t offset, uint64_t len_bytes);

/* The first range at or after @at that may have data; false: there is none. */
bool overlay_next_data(const struct overlay *overlay, uint64_t at,
		       uint64_t *start, uint64_t *end);

#endif
