/* SPDX-License-Identifier: BSD-2-Clause */
/* Complete transfers between a file and buffers.  Any thread; silent. */
#ifndef VMM_IO_TRANSFER_H
#define VMM_IO_TRANSFER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* Returned at the end of the file. */
#define TRANSFER_SHORT 1

/*
 * Transfers all of @iov by preadv(2) or pwritev(2), continuing after short
 * transfers, which occur at 2 GiB or after a signal. 0, -errno, or
 * TRANSFER_SHORT.  -EINTR only where a signal came and @ending is set.
 */
int transfer_all(int fd, const struct iovec *iov, int count, uint64_t offset,
		 bool write, const atomic_bool *ending);

#endif
