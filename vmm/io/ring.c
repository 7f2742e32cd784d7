// SPDX-License-Identifier: BSD-2-Clause
/* io_uring through liburing; the kernel's completions, nothing else, are shared. */
#include "vmm/io/ring.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#define SUBMISSIONS 128
#define COMPLETIONS 1024

struct ring {
	struct io_uring uring;
	/* The tags of what was added last; NULL: a request of our own. */
	void *tags[SUBMISSIONS];
	unsigned int added; /* ever */
	unsigned int taken_back;
	bool closed; /* nothing is added or started any more */
};

/* Sets the ring up with the flags; -errno. */
static int setup(struct ring *ring, unsigned int flags)
{
	struct io_uring_params params = { .flags = flags | IORING_SETUP_CQSIZE,
					  .cq_entries = COMPLETIONS };

	return io_uring_queue_init_params(SUBMISSIONS, &ring->uring, &params);
}

/* The next request, with its tag; NULL: there is no room. */
static struct io_uring_sqe *next_sqe(struct ring *ring, void *tag)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

	if (!sqe)
		return NULL;
	ring->tags[ring->added++ % SUBMISSIONS] = tag;
	return sqe;
}

/* Setup may succeed where io_uring_enter(2) is refused, as by seccomp(2). */
static int try(struct ring *ring)
{
	struct io_uring_sqe *sqe = next_sqe(ring, NULL);
	int n;

	io_uring_prep_nop(sqe);
	io_uring_sqe_set_data(sqe, NULL);
	n = io_uring_submit(&ring->uring);
	return n < 0 ? n : n == 1 ? 0 : -EIO;
}

int ring_create(struct ring **out, int done_fd)
{
	struct ring *ring = calloc(1, sizeof(*ring));
	int err;

	if (!ring)
		return -ENOMEM;
	/* A completion need not interrupt this thread (Linux 5.19). */
	err = setup(ring, IORING_SETUP_COOP_TASKRUN);
	if (err == -EINVAL)
		err = setup(ring, 0);
	if (err < 0) {
		free(ring);
		return err;
	}
	err = try(ring);
	if (err == 0)
		err = io_uring_register_eventfd(&ring->uring, done_fd);
	if (err < 0) {
		ring_destroy(ring);
		return err;
	}
	*out = ring;
	return 0;
}

void ring_destroy(struct ring *ring)
{
	if (!ring)
		return;
	io_uring_queue_exit(&ring->uring);
	free(ring);
}

bool ring_add(struct ring *ring, void *tag,
	      const struct ring_transfer *transfer)
{
	unsigned int count = (unsigned int)transfer->count;
	struct io_uring_sqe *sqe;

	if (ring->closed)
		return false;
	sqe = next_sqe(ring, tag);
	if (!sqe && ring_submit(ring) == 0)
		sqe = next_sqe(ring, tag);
	if (!sqe)
		return false;
	if (transfer->write)
		io_uring_prep_writev(sqe, transfer->fd, transfer->iov, count,
				     transfer->offset);
	else
		io_uring_prep_readv(sqe, transfer->fd, transfer->iov, count,
				    transfer->offset);
	if (transfer->elsewhere)
		io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
	io_uring_sqe_set_data(sqe, tag);
	return true;
}

int ring_submit(struct ring *ring)
{
	int n;

	if (ring->closed || io_uring_sq_ready(&ring->uring) == 0)
		return 0;
	n = io_uring_submit(&ring->uring);
	/* EBUSY: completions come first. */
	if (n < 0)
		return n == -EBUSY || n == -EINTR ? -EAGAIN : n;
	return io_uring_sq_ready(&ring->uring) ? -EAGAIN : 0;
}

void *ring_take_back(struct ring *ring)
{
	unsigned int left = io_uring_sq_ready(&ring->uring);
	void *tag = NULL;

	/* The kernel takes them in order. */
	ring->closed = true;
	while (!tag && ring->taken_back < left)
		tag = ring->tags[(ring->added - left + ring->taken_back++) %
				 SUBMISSIONS];
	return tag;
}

void ring_cancel(struct ring *ring)
{
#ifdef IORING_ASYNC_CANCEL_ANY
	struct io_uring_sqe *sqe = ring->closed ? NULL : next_sqe(ring, NULL);

	if (!sqe)
		return;
	io_uring_prep_cancel(sqe, NULL,
			     IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
	io_uring_sqe_set_data(sqe, NULL);
	ring_submit(ring);
#else
	(void)ring;
#endif
}

void *ring_take(struct ring *ring, int *result)
{
	struct io_uring_cqe *cqe;
	void *tag = NULL;

	/* Those without a tag are our own. */
	while (!tag && io_uring_peek_cqe(&ring->uring, &cqe) == 0) {
		tag = io_uring_cqe_get_data(cqe);
		*result = cqe->res;
		io_uring_cqe_seen(&ring->uring, cqe);
	}
	return tag;
}
