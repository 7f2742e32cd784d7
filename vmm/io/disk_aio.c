// SPDX-License-Identifier: BSD-2-Clause
/*
 * One request takes one of three ways:
 *
 *	try_cached()	a short read from the host's page cache, on the caller's
 *			time: less than the switch to a thread costs
 *	ring_add()	a read or write by io_uring
 *	pool_submit()	all else, on a thread: without io_uring; calls, such as a
 *			flush; what O_DIRECT does not accept; what io_uring did
 *			not complete whole.  The thread repeats a transfer from its
 *			start, so io/disk.c has the only handling of errors.
 *
 * The lock guards the list of requests that threads have completed; all else is
 * the caller's.
 */
#include "vmm/io/disk_aio.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/clock.h"
#include "vmm/base/event.h"
#include "vmm/base/log.h"
#include "vmm/io/disk.h"
#include "vmm/io/ring.h"

#define THREADS 16 /* of a disk, at most */

/* The longest copy from or to the page cache on the caller's time. */
#define INLINE_BYTES (64 * KIB)

/* The interval at which the end cancels what runs. */
#define CANCEL_INTERVAL_NS (NS_PER_S / 10)

/* Alignment that O_DIRECT accepts (io/direct.c). */
#define PROBE_BYTES 4096

struct list {
	struct disk_request *first, **last;
};

struct disk_aio {
	struct disk *disk;
	struct pool *pool;
	struct ring *ring; /* NULL: threads only */
	int done_fd;
	int fd; /* of transfers; the disk's */
	bool nowait; /* the file system can say that it would block */
	unsigned int pending; /* submitted, and not in the list below */
	unsigned int in_ring; /* of those, the ring's */
	struct list complete;
	pthread_mutex_t lock;
	struct list finished; /* by threads */
};

static void list_init(struct list *list)
{
	*list = (struct list){ .last = &list->first };
}

static void list_add(struct list *list, struct disk_request *rq)
{
	rq->next = NULL;
	*list->last = rq;
	list->last = &rq->next;
}

static struct disk_request *list_take(struct list *list)
{
	struct disk_request *first = list->first;

	list_init(list);
	return first;
}

/* Runs a request by plain system calls. */
static int run(struct disk *disk, struct disk_request *rq)
{
	switch (rq->kind) {
	case DISK_REQUEST_READ:
		return disk_readv(disk, rq->iov, rq->count, rq->offset);
	case DISK_REQUEST_WRITE:
		return disk_writev(disk, rq->iov, rq->count, rq->offset);
	case DISK_REQUEST_CALL:
		break;
	}
	return rq->call(disk, rq);
}

/* A job of the pool. */
static void run_job(void *ctx, struct pool_job *job)
{
	struct disk_request *rq = container_of(job, struct disk_request, job);
	struct disk_aio *aio = ctx;
	bool first;

	rq->result = run(aio->disk, rq);
	pthread_mutex_lock(&aio->lock);
	first = !aio->finished.first;
	list_add(&aio->finished, rq);
	pthread_mutex_unlock(&aio->lock);
	if (first)
		event_signal(aio->done_fd);
}

/*
 * Whether the file system can say that a request would block (Linux: FMODE_NOWAIT).
 * Others, such as FUSE, would run it to its end inside io_uring_enter(2).
 */
static bool has_nowait(const struct disk_aio *aio)
{
	CLEANUP_FREE void *buffer = aligned_alloc(PROBE_BYTES, PROBE_BYTES);
	struct iovec iov = { buffer, PROBE_BYTES };
	/* Past the end: there is nothing to wait for. */
	uint64_t at =
		align_up(aio->disk->size_bytes, PROBE_BYTES) + PROBE_BYTES;

	return buffer &&
	       (preadv2(aio->fd, &iov, 1, (off_t)at, RWF_NOWAIT) >= 0 ||
		errno == EAGAIN);
}

/* Creates the ring, unless threads are asked for or, under AUTO, suffice. */
static int start_ring(struct disk_aio *aio)
{
	const struct disk *disk = aio->disk;
	int err;

	/* A request to an overlay is of two files. */
	if (disk->aio == DISK_AIO_THREADS || disk->overlay)
		return 0;
	err = ring_create(&aio->ring, aio->done_fd);
	if (err == 0)
		return 0;
	aio->ring = NULL;
	if (disk->aio == DISK_AIO_URING)
		return log_errno(-err,
				 "disk %s: aio=io_uring is unavailable (use "
				 "aio=threads)",
				 disk->path);
	log_info("disk %s: io_uring is unavailable (%s), using threads",
		 disk->path, strerror(-err));
	return 0;
}

int disk_aio_create(struct disk_aio **out, struct disk *disk)
{
	struct disk_aio *aio = calloc(1, sizeof(*aio));
	const struct pool_config pool = {
		.name = "disk", .threads = THREADS, .run = run_job, .ctx = aio
	};
	int err;

	if (!aio)
		return log_errno(ENOMEM, "disk %s", disk->path);
	aio->disk = disk;
	disk_set_ending(disk, false);
	aio->fd = disk->direct.fd >= 0 ? disk->direct.fd : disk->fd;
	aio->nowait = !disk->overlay && has_nowait(aio);
	list_init(&aio->complete);
	list_init(&aio->finished);
	pthread_mutex_init(&aio->lock, NULL);
	aio->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = aio->done_fd < 0 ? -errno : pool_create(&aio->pool, &pool);
	err = err < 0 ? log_errno(-err, "disk %s: start", disk->path) :
			start_ring(aio);
	if (err < 0) {
		disk_aio_destroy(aio);
		return err;
	}
	*out = aio;
	return 0;
}

int disk_aio_fd(const struct disk_aio *aio)
{
	return aio->done_fd;
}

/* Sets the result, and lists the request for disk_aio_collect(). */
static void completed(struct disk_aio *aio, struct disk_request *rq, int result)
{
	rq->result = result;
	aio->pending--;
	list_add(&aio->complete, rq);
}

/*
 * Reads what the host has in its page cache.  False: it would block, or the read
 * is long or fails; nothing is done then.
 */
static bool try_cached(struct disk_aio *aio, const struct disk_request *rq)
{
	ssize_t n;

	if (!aio->nowait || aio->disk->direct.fd >= 0 ||
	    rq->bytes > INLINE_BYTES)
		return false;
	n = preadv2(aio->fd, rq->iov, rq->count, (off_t)rq->offset, RWF_NOWAIT);
	if (n < 0 && errno == EOPNOTSUPP)
		aio->nowait = false;
	return n >= 0 && (uint64_t)n == rq->bytes;
}

/* Adds a transfer to the ring, if there is one that accepts it. */
static bool add_to_ring(struct disk_aio *aio, struct disk_request *rq)
{
	const struct disk *disk = aio->disk;
	bool direct = disk->direct.fd >= 0;
	struct ring_transfer transfer = {
		.fd = aio->fd,
		.iov = rq->iov,
		.count = rq->count,
		.offset = rq->offset,
		.write = rq->kind == DISK_REQUEST_WRITE,
		.elsewhere =
			!aio->nowait || (!direct && rq->bytes > INLINE_BYTES),
	};

	if (!aio->ring || rq->kind == DISK_REQUEST_CALL ||
	    (transfer.write && disk->read_only) ||
	    (direct &&
	     !direct_fits(&disk->direct, rq->iov, rq->count, rq->offset)) ||
	    !ring_add(aio->ring, rq, &transfer))
		return false;
	aio->in_ring++;
	return true;
}

void disk_aio_submit(struct disk_aio *aio, struct disk_request *rq)
{
	aio->pending++;
	if (rq->kind == DISK_REQUEST_READ && try_cached(aio, rq))
		completed(aio, rq, 0);
	else if (!add_to_ring(aio, rq))
		pool_submit(aio->pool, &rq->job);
}

/* The next request that the ring has not started, and will not. */
static struct disk_request *take_back(struct disk_aio *aio)
{
	struct disk_request *rq = ring_take_back(aio->ring);

	aio->in_ring -= rq != NULL;
	return rq;
}

void disk_aio_start(struct disk_aio *aio)
{
	int err = aio->ring ? ring_submit(aio->ring) : 0;
	struct disk_request *rq;

	if (err == 0)
		return;
	/* What the kernel did not take is submitted with the next collection. */
	if (err == -EAGAIN) {
		event_signal(aio->done_fd);
		return;
	}
	log_warn("disk %s: io_uring has failed (%s), using threads",
		 aio->disk->path, strerror(-err));
	while ((rq = take_back(aio)))
		pool_submit(aio->pool, &rq->job);
}

/* The next transfer that the ring has completed. */
static struct disk_request *take_from_ring(struct disk_aio *aio, int *result)
{
	struct disk_request *rq =
		aio->ring ? ring_take(aio->ring, result) : NULL;

	aio->in_ring -= rq != NULL;
	return rq;
}

/* The ring has transferred all of it. */
static void completed_in_ring(struct disk_aio *aio, struct disk_request *rq)
{
	if (rq->kind == DISK_REQUEST_WRITE && rq->bytes)
		disk_changes_note(&aio->disk->changes, rq->offset, rq->bytes);
	completed(aio, rq, 0);
}

/* Moves what is complete to the list. */
static void reap(struct disk_aio *aio)
{
	struct disk_request *rq, *next;
	int result;

	while ((rq = take_from_ring(aio, &result))) {
		if (result >= 0 && (uint64_t)result == rq->bytes)
			completed_in_ring(aio, rq);
		else
			pool_submit(aio->pool, &rq->job);
	}
	pthread_mutex_lock(&aio->lock);
	rq = list_take(&aio->finished);
	pthread_mutex_unlock(&aio->lock);
	for (; rq; rq = next) {
		next = rq->next;
		completed(aio, rq, rq->result);
	}
}

struct disk_request *disk_aio_collect(struct disk_aio *aio)
{
	disk_aio_start(aio);
	reap(aio);
	return list_take(&aio->complete);
}

/* Waits for a completion, at most @ns. */
static void await(const struct disk_aio *aio, uint64_t ns)
{
	struct pollfd fd = { .fd = aio->done_fd, .events = POLLIN };
	struct timespec timeout = clock_timespec(ns);

	ppoll(&fd, 1, &timeout, NULL);
	event_clear(aio->done_fd);
}

int disk_aio_wait(struct disk_aio *aio, uint64_t ns)
{
	uint64_t since = clock_now_ns();

	for (;;) {
		uint64_t waited = clock_now_ns() - since;

		disk_aio_start(aio);
		reap(aio);
		if (aio->pending == 0)
			return 0;
		if (waited >= ns)
			break;
		await(aio, ns - waited);
	}
	event_signal(aio->done_fd);
	return -ETIMEDOUT;
}

/* Waits until nothing is in the ring, with cancellations. */
static void empty_ring(struct disk_aio *aio)
{
	int result, err;

	while (aio->in_ring) {
		err = ring_submit(aio->ring);
		if (err < 0 && err != -EAGAIN)
			while (take_back(aio))
				;
		while (take_from_ring(aio, &result))
			;
		if (aio->in_ring) {
			ring_cancel(aio->ring);
			await(aio, CANCEL_INTERVAL_NS);
		}
	}
}

void disk_aio_destroy(struct disk_aio *aio)
{
	if (!aio)
		return;
	disk_set_ending(aio->disk, true);
	pool_destroy(aio->pool);
	empty_ring(aio);
	ring_destroy(aio->ring);
	if (aio->done_fd >= 0)
		close(aio->done_fd);
	pthread_mutex_destroy(&aio->lock);
	free(aio);
}
