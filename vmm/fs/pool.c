// SPDX-License-Identifier: BSD-2-Clause
/*
 * A queue and the threads that empty it.  One lock, held for neither a request
 * nor a callback.  A thread that ends increments `ended`; it is kicked until
 * then.
 */
#include "vmm/fs/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/base/thread.h"
#include "vmm/fs/server.h"

/* A kick just before a system call is lost, so kicks are repeated. */
#define KICK_INTERVAL_NS (NS_PER_S / 100)

/* How long a reset waits in silence. */
#define REPORT_NS (3 * NS_PER_S)

struct fs_pool {
	struct fs_server *server;
	fs_job_done *done;
	void *ctx;
	pthread_mutex_t lock;
	pthread_cond_t work; /* for workers: a job, a resume, the end */
	pthread_cond_t rest; /* for others: no job left, a thread has ended */
	struct fs_job *first, **last;
	unsigned int pending; /* submitted and not complete */
	unsigned int queued; /* of those, not begun */
	unsigned int idle; /* threads that wait for work */
	unsigned int thread_count, threads_max, ready, ended;
	bool quiesced, ending;
	pthread_t threads[FS_POOL_THREADS_MAX];
};

/* Takes the next job when it may begin; NULL at the end.  With the lock. */
static struct fs_job *next_job(struct fs_pool *pool)
{
	struct fs_job *job;

	while (!pool->ending && (pool->quiesced || !pool->first)) {
		pool->idle++;
		pthread_cond_wait(&pool->work, &pool->lock);
		pool->idle--;
	}
	if (pool->ending)
		return NULL;
	job = pool->first;
	pool->queued--;
	pool->first = job->next;
	if (!pool->first)
		pool->last = &pool->first;
	return job;
}

static void *worker(void *arg)
{
	struct fs_pool *pool = arg;
	bool prepared = fs_thread_prepare(pool->server) == 0;
	struct fs_job *job;

	pthread_mutex_lock(&pool->lock);
	pool->ready++;
	pthread_cond_broadcast(&pool->rest);
	while (prepared && (job = next_job(pool))) {
		pthread_mutex_unlock(&pool->lock);
		job->written = fs_handle(pool->server, job->in, job->in_count,
					 job->out, job->out_count);
		pool->done(pool->ctx, job);
		pthread_mutex_lock(&pool->lock);
		if (--pool->pending == 0)
			pthread_cond_broadcast(&pool->rest);
	}
	pool->ended++;
	pthread_cond_broadcast(&pool->rest);
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* Starts one more thread.  With the lock. */
static int add_thread(struct fs_pool *pool)
{
	int r = thread_start(&pool->threads[pool->thread_count], "fs", worker,
			     pool);

	if (r == 0)
		pool->thread_count++;
	return r;
}

/* Starts the first thread, and sees that it can handle requests. */
static int start_first(struct fs_pool *pool)
{
	int r;

	pthread_mutex_lock(&pool->lock);
	r = add_thread(pool);
	while (r == 0 && !pool->ready)
		pthread_cond_wait(&pool->rest, &pool->lock);
	if (r == 0 && pool->ended)
		r = -EPERM;
	pthread_mutex_unlock(&pool->lock);
	return r;
}

int fs_pool_create(struct fs_pool **out, struct fs_server *server,
		   unsigned int threads, fs_job_done *done, void *ctx)
{
	struct fs_pool *pool = calloc(1, sizeof(*pool));
	int r;

	if (!pool)
		return log_errno(ENOMEM, "share: thread pool");
	pool->server = server;
	pool->done = done;
	pool->ctx = ctx;
	pool->last = &pool->first;
	pool->threads_max = threads < 1 ? 1 :
			    threads > FS_POOL_THREADS_MAX ?
					  FS_POOL_THREADS_MAX :
					  threads;
	pthread_mutex_init(&pool->lock, NULL);
	clock_cond_init(&pool->work);
	clock_cond_init(&pool->rest);
	r = start_first(pool);
	if (r < 0) {
		fs_pool_destroy(pool);
		return log_errno(-r, "share: start a thread");
	}
	*out = pool;
	return 0;
}

/* Waits for the threads to end, with kicks.  With the lock. */
static void wait_for_threads(struct fs_pool *pool)
{
	while (pool->ended < pool->thread_count) {
		struct timespec until =
			clock_timespec(clock_now_ns() + KICK_INTERVAL_NS);

		if (pthread_cond_timedwait(&pool->rest, &pool->lock, &until) ==
		    0)
			continue;
		for (unsigned int i = 0; i < pool->thread_count; i++)
			thread_kick(pool->threads[i]);
	}
}

void fs_pool_destroy(struct fs_pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->ending = true;
	pthread_cond_broadcast(&pool->work);
	wait_for_threads(pool);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned int i = 0; i < pool->thread_count; i++)
		pthread_join(pool->threads[i], NULL);
	pthread_mutex_destroy(&pool->lock);
	pthread_cond_destroy(&pool->work);
	pthread_cond_destroy(&pool->rest);
	free(pool);
}

void fs_pool_submit(struct fs_pool *pool, struct fs_job *job)
{
	job->next = NULL;
	pthread_mutex_lock(&pool->lock);
	*pool->last = job;
	pool->last = &job->next;
	pool->pending++;
	pool->queued++;
	/* A thread that cannot be started is done without. */
	if (pool->queued > pool->idle && !pool->quiesced &&
	    pool->thread_count < pool->threads_max)
		add_thread(pool);
	pthread_cond_signal(&pool->work);
	pthread_mutex_unlock(&pool->lock);
}

int fs_pool_quiesce(struct fs_pool *pool, uint64_t ns)
{
	struct timespec until = clock_timespec(clock_now_ns() + ns);
	int r = 0;

	pthread_mutex_lock(&pool->lock);
	while (pool->pending && r == 0) {
		if (pool->ended == pool->thread_count)
			r = EIO;
		else
			r = pthread_cond_timedwait(&pool->rest, &pool->lock,
						   &until);
	}
	pool->quiesced = r == 0;
	pthread_mutex_unlock(&pool->lock);
	return -r;
}

void fs_pool_interrupt(struct fs_pool *pool)
{
	struct running_list *running = &pool->server->running;
	uint64_t since = clock_now_ns();
	bool reported = false;

	running_refuse(running, true);
	while (fs_pool_quiesce(pool, KICK_INTERVAL_NS) == -ETIMEDOUT) {
		running_interrupt_all(running);
		if (reported || clock_now_ns() - since < REPORT_NS)
			continue;
		log_warn("share %s: reset: the host's file system has been "
			 "busy for %.0f s",
			 pool->server->label, (double)REPORT_NS / NS_PER_S);
		reported = true;
	}
	running_refuse(running, false);
}

void fs_pool_resume(struct fs_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->quiesced = false;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
}
