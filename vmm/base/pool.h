/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads that run jobs which may block, for a thread that must not: the event
 * loop submits and never waits.
 */
#ifndef VMM_BASE_POOL_H
#define VMM_BASE_POOL_H

#include <stdint.h>

struct pool;

/* Part of a job, in the caller's memory; the pool's until run() returns. */
struct pool_job {
	struct pool_job *next; /* the pool's */
};

/* At most this many threads. */
#define POOL_THREADS_MAX 64

struct pool_config {
	const char *name; /* of the threads, at most 15 bytes */
	unsigned int threads; /* at most; 1 to POOL_THREADS_MAX */
	/*
	 * Called first on each thread; 0, or -errno if the thread cannot run jobs.
	 * With it the first thread starts at once, and pool_create() fails where it
	 * does; otherwise threads start when there is work for them.
	 */
	int (*prepare)(void *ctx);
	/*
	 * Runs a job and reports its end to its owner.  On a worker thread,
	 * without a lock; must not wait for a thread that may be in pool_quiesce().
	 * Jobs of one pool run in parallel and end in any order.
	 */
	void (*run)(void *ctx, struct pool_job *job);
	void *ctx;
};

/* 0, or -errno; silent. */
int pool_create(struct pool **pool, const struct pool_config *config);

/*
 * Drops jobs that have not begun, kicks the threads out of their system calls
 * where these can be interrupted, and joins them.  Waits for calls that ignore
 * the kicks.  NULL is fine.
 */
void pool_destroy(struct pool *pool);

/*
 * Adds a job.  Between a quiesce and the resume it waits in the queue.  One
 * thread at a time, not run().  Where no thread can be started at all, it runs
 * the job itself, and logs that once.
 */
void pool_submit(struct pool *pool, struct pool_job *job);

/*
 * Waits until all jobs have ended, and lets none begin until pool_resume().
 * -ETIMEDOUT after @ns, and the pool continues as before.
 */
int pool_quiesce(struct pool *pool, uint64_t ns);
void pool_resume(struct pool *pool);

#endif
