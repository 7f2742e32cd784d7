/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads that handle requests, so that a slow file system does not stop the
 * event loop.
 *
 * The event loop submits without waiting; it waits only for a pause and a
 * reset.  A worker calls back when the reply is written.  FORGET and other
 * requests of the high-priority queue are submitted like all others.  Requests
 * of one pool complete in any order.
 */
#ifndef VMM_FS_POOL_H
#define VMM_FS_POOL_H

#include <stdint.h>
#include <sys/uio.h>

#include "vmm/base/pool.h"

struct fs_server;
struct fs_pool;

/*
 * A request, in the caller's memory; the pool's from the submission until the
 * callback.  The guest memory of the iovecs must stay mapped for that time.
 */
struct fs_job {
	const struct iovec *in, *out;
	unsigned int in_count, out_count;
	size_t written; /* bytes of the reply; set at completion */
	struct pool_job queued; /* the pool's */
};

/*
 * A job is complete.  On a worker thread, without a lock; must not wait for the
 * thread that may be in fs_pool_quiesce(), the event loop.
 */
typedef void fs_job_done(void *ctx, struct fs_job *job);

/*
 * A pool of up to @threads (1 to POOL_THREADS_MAX): one starts at once, the others
 * when there is work for them.  -errno, logged.
 */
int fs_pool_create(struct fs_pool **pool, struct fs_server *server,
		   unsigned int threads, fs_job_done *done, void *ctx);

/* See pool_destroy(). */
void fs_pool_destroy(struct fs_pool *pool);

/*
 * Adds a job.  Between a quiesce and the resume it waits in the queue.  One
 * thread at a time, not the callback.
 */
void fs_pool_submit(struct fs_pool *pool, struct fs_job *job);

/*
 * Waits until all jobs are complete, and lets none begin until fs_pool_resume():
 * nothing touches guest memory or the share's session then.  -ETIMEDOUT after
 * @ns, and the pool continues as before.
 */
int fs_pool_quiesce(struct fs_pool *pool, uint64_t ns);

/*
 * The same without a limit, for a reset: requests that run are interrupted, and
 * those that have not begun end with -EINTR, except that the guest's lookups and
 * handles are still released.  Logs a line if that takes long, which is where
 * the host's kernel does not let a request be interrupted.
 */
void fs_pool_interrupt(struct fs_pool *pool);
void fs_pool_resume(struct fs_pool *pool);

#endif
