/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests to a disk that do not block their caller, the event loop: by io_uring, or
 * by threads.
 *
 * One thread at a time, except where a function says otherwise.  Requests run in
 * parallel and complete in any order; a flush covers the writes that were complete
 * when it was submitted, as fdatasync(2) does.
 */
#ifndef VMM_IO_DISK_AIO_H
#define VMM_IO_DISK_AIO_H

#include <stdint.h>
#include <sys/uio.h>

#include "vmm/base/pool.h"

struct disk;
struct disk_aio;

enum disk_request_kind {
	DISK_REQUEST_READ,
	DISK_REQUEST_WRITE,
	DISK_REQUEST_CALL
};

/*
 * A request, in the caller's memory; the engine's from its submission until it is
 * collected.  The memory of the buffers must stay mapped for that time, and be
 * present.
 */
struct disk_request {
	enum disk_request_kind kind;
	/* READ, WRITE: all of these buffers. */
	const struct iovec *iov;
	int count;
	uint64_t offset, bytes;
	/* CALL: returns the result; on a thread of its own. */
	int (*call)(struct disk *disk, struct disk_request *request);
	/* Once complete: 0 or -errno, as of io/disk.h; or what call() returned. */
	int result;
	struct disk_request *next; /* in the list of disk_aio_collect() */
	struct pool_job job; /* the engine's */
};

/*
 * An engine of the kind @disk->aio.  -errno, logged, where that is io_uring and the
 * host does not have it.
 */
int disk_aio_create(struct disk_aio **aio, struct disk *disk);

/*
 * Drops requests that wait for a thread, interrupts or cancels the others where the
 * host's kernel can, and waits for them, as long as that takes; none is collected.
 * Any thread.  NULL is fine.
 */
void disk_aio_destroy(struct disk_aio *aio);

/*
 * Readable when requests have become complete since it was cleared, except for those
 * that disk_aio_submit() itself completed.  Some may have been collected meanwhile,
 * by disk_aio_collect() after a start: readable does not mean that there is one to
 * collect.  Cleared by the caller, before it collects.
 */
int disk_aio_fd(const struct disk_aio *aio);

/*
 * Submits a request.  Those submitted may wait for disk_aio_start(), so that one
 * system call starts several; then those that were complete at once are collected.
 */
void disk_aio_submit(struct disk_aio *aio, struct disk_request *request);
void disk_aio_start(struct disk_aio *aio);

/* The requests that have become complete; NULL: none. */
struct disk_request *disk_aio_collect(struct disk_aio *aio);

/*
 * Waits until all requests are complete, to be collected.  -ETIMEDOUT after @ns; the
 * descriptor is readable then.
 */
int disk_aio_wait(struct disk_aio *aio, uint64_t ns);

#endif
