// SPDX-License-Identifier: BSD-2-Clause
/* A pool of threads (base/pool.h) whose jobs are requests of a share. */
#include "vmm/fs/pool.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/fs/server.h"

/* The interval at which a reset interrupts what runs. */
#define KICK_INTERVAL_NS (NS_PER_S / 100)

/* How long a reset waits in silence. */
#define REPORT_NS (3 * NS_PER_S)

struct fs_pool {
	struct fs_server *server;
	fs_job_done *done;
	void *ctx;
	struct pool *threads;
};

static int prepare(void *ctx)
{
	const struct fs_pool *pool = ctx;

	return fs_thread_prepare(pool->server);
}

static void run(void *ctx, struct pool_job *queued)
{
	struct fs_job *job = container_of(queued, struct fs_job, queued);
	struct fs_pool *pool = ctx;

	job->written = fs_handle(pool->server, job->in, job->in_count, job->out,
				 job->out_count);
	pool->done(pool->ctx, job);
}

int fs_pool_create(struct fs_pool **out, struct fs_server *server,
		   unsigned int threads, fs_job_done *done, void *ctx)
{
	struct fs_pool *pool = calloc(1, sizeof(*pool));
	const struct pool_config config = { .name = "fs",
					    .threads = threads,
					    .prepare = prepare,
					    .run = run,
					    .ctx = pool };
	int r;

	if (!pool)
		return log_errno(ENOMEM, "share: thread pool");
	pool->server = server;
	pool->done = done;
	pool->ctx = ctx;
	r = pool_create(&pool->threads, &config);
	if (r < 0) {
		free(pool);
		return log_errno(-r, "share: start a thread");
	}
	*out = pool;
	return 0;
}

void fs_pool_destroy(struct fs_pool *pool)
{
	if (!pool)
		return;
	pool_destroy(pool->threads);
	free(pool);
}

void fs_pool_submit(struct fs_pool *pool, struct fs_job *job)
{
	pool_submit(pool->threads, &job->queued);
}

int fs_pool_quiesce(struct fs_pool *pool, uint64_t ns)
{
	return pool_quiesce(pool->threads, ns);
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
	pool_resume(pool->threads);
}
