/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Transfers by io_uring, through liburing.  Without the library ring_none.c is
 * built in place of ring.c, and no ring can be created.
 *
 * One thread at a time.
 */
#ifndef VMM_IO_RING_H
#define VMM_IO_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct ring;

/*
 * @done_fd, an eventfd, is signalled when a transfer is complete.  -errno, silent:
 * -ENOSYS also without the library, -EPERM where the host does not allow it.  One
 * request that does nothing has been tried then.
 */
int ring_create(struct ring **ring, int done_fd);

/* Nothing may be in flight.  NULL is fine. */
void ring_destroy(struct ring *ring);

struct ring_transfer {
	int fd;
	const struct iovec *iov; /* valid until the transfer is complete */
	int count;
	uint64_t offset;
	bool write;
	bool elsewhere; /* on a thread of the kernel, even if it need not wait */
};

/*
 * Adds a transfer, which ring_submit() starts; @tag is not NULL.  False: there is no
 * room.
 */
bool ring_add(struct ring *ring, void *tag,
	      const struct ring_transfer *transfer);

/*
 * Starts all that were added.  -EAGAIN: the kernel did not take all, call it again;
 * other errors: it will take none any more.
 */
int ring_submit(struct ring *ring);

/*
 * The tag of the next transfer that was added and has not been started, and will not
 * be; NULL: there is none.  After the first call nothing can be added or started.
 */
void *ring_take_back(struct ring *ring);

/*
 * Asks the kernel to end what it has begun, where that can be interrupted, and to
 * drop the rest (Linux 5.19).
 */
void ring_cancel(struct ring *ring);

/*
 * The tag of a transfer that is complete, and its result: bytes, which may be fewer
 * than asked for, or -errno.  NULL: none is complete.
 */
void *ring_take(struct ring *ring, int *result);

#endif
