// SPDX-License-Identifier: BSD-2-Clause
/*
 * A queue and the threads that empty it.  One lock, held for neither a job nor a
 * callback.  A thread that ends increments `ended`; it is kicked until then.
 */
#include "vmm/base/pool.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/base/thread.h"

/* A kick just before a system call is lost, so kicks are repeated. */
#define KICK_INTERVAL_NS (NS_PER_S / 100)

struct pool {
	struct pool_config config;
	pthread_mutex_t lock;
	pthread_cond_t work; /* for workers: a job, a resume, the end */
	pthread_cond_t rest; /* for others: no job left, a thread has ended */
	struct pool_job *first, **last;
	unsigned int pending; /* submitted and not ended */
	unsigned int queued; /* of those, not begun */
	unsigned int idle; /* threads that wait for work */
	unsigned int thread_count, ready, ended;
	bool quiesced, ending;
	bool reported; /* that there is no thread; of pool_submit() */
	pthread_t threads[POOL_THREADS_MAX];
};

/* Takes the next job when it may begin; NULL at the end.  With the lock. */
static struct pool_job *next_job(struct pool *pool)
{
	struct pool_job *job;

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
	struct pool *pool = arg;
	const struct pool_config *config = &pool->config;
	bool prepared = !config->prepare || config->prepare(config->ctx) == 0;
	struct pool_job *job;

	pthread_mutex_lock(&pool->lock);
	pool->ready++;
	pthread_cond_broadcast(&pool->rest);
	while (prepared && (job = next_job(pool))) {
		pthread_mutex_unlock(&pool->lock);
		config->run(config->ctx, job);
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
static int add_thread(struct pool *pool)
{
	int r = thread_start(&pool->threads[pool->thread_count],
			     pool->config.name, worker, pool);

	if (r == 0)
		pool->thread_count++;
	return r;
}

/* Starts the first thread, and sees that it can run jobs. */
static int start_first(struct pool *pool)
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

int pool_create(struct pool **out, const struct pool_config *config)
{
	struct pool *pool;
	int r;

	assert(config->threads >= 1 && config->threads <= POOL_THREADS_MAX);
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return -ENOMEM;
	pool->config = *config;
	pool->last = &pool->first;
	pthread_mutex_init(&pool->lock, NULL);
	clock_cond_init(&pool->work);
	clock_cond_init(&pool->rest);
	r = config->prepare ? start_first(pool) : 0;
	if (r < 0) {
		pool_destroy(pool);
		return r;
	}
	*out = pool;
	return 0;
}

/* Waits for the threads to end, with kicks.  With the lock. */
static void wait_for_threads(struct pool *pool)
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

void pool_destroy(struct pool *pool)
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

/* Runs a job on the caller's time, as there is no thread. */
static void run_alone(struct pool *pool, struct pool_job *job, int err)
{
	if (!pool->reported)
		log_warn("%s thread: %s; requests run in the event loop, which "
			 "they may block",
			 pool->config.name, strerror(-err));
	pool->reported = true;
	pool->config.run(pool->config.ctx, job);
}

void pool_submit(struct pool *pool, struct pool_job *job)
{
	bool alone;
	int err = 0;

	job->next = NULL;
	pthread_mutex_lock(&pool->lock);
	/* A thread that cannot be started is done without. */
	if (pool->queued >= pool->idle &&
	    pool->thread_count < pool->config.threads)
		err = add_thread(pool);
	alone = pool->thread_count == 0;
	if (!alone) {
		*pool->last = job;
		pool->last = &job->next;
		pool->pending++;
		pool->queued++;
	}
	pthread_mutex_unlock(&pool->lock);
	if (alone)
		run_alone(pool, job, err);
	else
		pthread_cond_signal(&pool->work);
}

int pool_quiesce(struct pool *pool, uint64_t ns)
{
	struct timespec until = clock_timespec(clock_now_ns() + ns);
	int r = 0;

	pthread_mutex_lock(&pool->lock);
	while (pool->pending && r == 0)
		r = pthread_cond_timedwait(&pool->rest, &pool->lock, &until);
	if (r == 0)
		pool->quiesced = true;
	pthread_mutex_unlock(&pool->lock);
	return -r;
}

void pool_resume(struct pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->quiesced = false;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
}
