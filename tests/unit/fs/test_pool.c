/* SPDX-License-Identifier: BSD-2-Clause */
/* The pool: completion, quiesce, its end; and the tables under many threads. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "tests/unit/fs/skip.h"
#include "vmm/base/clock.h"
#include "vmm/fs/pool.h"

static const struct fs_config usual = { .cache = FS_CACHE_AUTO };

#define JOBS 200

/* A GETATTR of the root with its buffers. */
struct work {
	struct fs_job job;
	struct iovec in, out;
	struct {
		struct fuse_in_header head;
		struct fuse_getattr_in args;
	} request;
	struct {
		struct fuse_out_header head;
		struct fuse_attr_out attr;
	} reply;
};

struct device {
	atomic_uint done;
	sem_t *hold; /* completions wait for it, or NULL */
};

static void on_done(void *ctx, struct fs_job *job)
{
	struct device *device = ctx;

	if (device->hold)
		sem_wait(device->hold);
	if (job->written ==
	    sizeof(struct fuse_out_header) + sizeof(struct fuse_attr_out))
		atomic_fetch_add(&device->done, 1);
}

static void submit(struct fs_pool *pool, struct work *w)
{
	memset(w, 0, sizeof(*w));
	w->request.head.len = sizeof(w->request);
	w->request.head.opcode = FUSE_GETATTR;
	w->request.head.nodeid = FUSE_ROOT_ID;
	w->in = (struct iovec){ &w->request, sizeof(w->request) };
	w->out = (struct iovec){ &w->reply, sizeof(w->reply) };
	w->job.in = &w->in;
	w->job.out = &w->out;
	w->job.in_count = w->job.out_count = 1;
	fs_pool_submit(pool, &w->job);
}

static void test_completes(void **state)
{
	static struct work work[JOBS];
	struct device device = { 0 };
	struct fs_pool *pool;
	struct client c;

	(void)state;
	client_start(&c, &usual);
	assert_int_equal(fs_pool_create(&pool, c.server, 4, on_done, &device),
			 0);
	for (int round = 0; round < 10; round++) {
		for (size_t i = 0; i < JOBS; i++)
			submit(pool, &work[i]);
		/* All that was submitted is complete when it returns. */
		assert_int_equal(fs_pool_quiesce(pool, 60 * NS_PER_S), 0);
		assert_int_equal(atomic_load(&device.done), JOBS * (round + 1));
		fs_pool_resume(pool);
	}
	fs_pool_destroy(pool);
	fs_pool_destroy(NULL);
	client_finish(&c);
}

static void test_quiesce(void **state)
{
	static struct work first, second, third;
	struct device device = { 0 };
	struct fs_pool *pool;
	struct client c;
	sem_t hold;

	(void)state;
	sem_init(&hold, 0, 0);
	client_start(&c, &usual);
	device.hold = &hold;
	assert_int_equal(fs_pool_create(&pool, c.server, 2, on_done, &device),
			 0);
	submit(pool, &first);
	/* One that does not complete: an error, and the pool continues. */
	assert_int_equal(fs_pool_quiesce(pool, NS_PER_S / 20), -ETIMEDOUT);
	submit(pool, &second);
	sem_post(&hold);
	sem_post(&hold);
	assert_int_equal(fs_pool_quiesce(pool, 60 * NS_PER_S), 0);
	assert_int_equal(atomic_load(&device.done), 2);
	/* While quiesced nothing begins. */
	sem_post(&hold);
	submit(pool, &third);
	usleep(50000);
	assert_int_equal(atomic_load(&device.done), 2);
	fs_pool_resume(pool);
	assert_int_equal(fs_pool_quiesce(pool, 60 * NS_PER_S), 0);
	assert_int_equal(atomic_load(&device.done), 3);
	/* At the end, what has not begun is dropped. */
	submit(pool, &third);
	fs_pool_destroy(pool);
	assert_int_equal(atomic_load(&device.done), 3);
	sem_destroy(&hold);
	client_finish(&c);
}

/* How many threads are in the callback at once. */
struct meeting {
	pthread_barrier_t barrier;
	atomic_uint met;
};

static void meet(void *ctx, struct fs_job *job)
{
	struct meeting *m = ctx;

	(void)job;
	pthread_barrier_wait(&m->barrier);
	atomic_fetch_add(&m->met, 1);
}

static void test_threads_work_at_once(void **state)
{
	static struct work work[4];
	struct meeting m = { .met = 0 };
	struct fs_pool *pool;
	struct client c;

	(void)state;
	client_start(&c, &usual);
	pthread_barrier_init(&m.barrier, NULL, 4);
	assert_int_equal(fs_pool_create(&pool, c.server, 4, meet, &m), 0);
	for (size_t i = 0; i < 4; i++)
		submit(pool, &work[i]);
	assert_int_equal(fs_pool_quiesce(pool, 60 * NS_PER_S), 0);
	assert_int_equal(atomic_load(&m.met), 4);
	fs_pool_destroy(pool);
	pthread_barrier_destroy(&m.barrier);
	client_finish(&c);
}

/* A thread of a guest: its own client over the shared server. */
struct visitor {
	struct client c;
	unsigned int index, steps;
	uint64_t dirs[2];
	pthread_t thread;
};

/* Errors are expected, as others rename and unlink the same names. */
static void step(struct visitor *v)
{
	struct client *c = &v->c;
	unsigned int r = (unsigned int)rand_r(&c->seed);
	uint64_t dir = v->dirs[r % 2], other = v->dirs[r / 2 % 2], node, fh;
	struct fuse_entry_out entry;
	struct fuse_attr attr;
	char name[16], second[16], byte = 'x';

	snprintf(name, sizeof(name), "f%u", r / 4 % 50);
	snprintf(second, sizeof(second), "f%u", r / 1000 % 50);
	switch (r / 100 % 6) {
	case 0:
		if (client_create_file(c, dir, name, O_RDWR, 0644, &node, &fh))
			break;
		client_write(c, node, fh, 0, &byte, 1, 0, 0);
		client_getattr(c, node, &attr);
		assert_int_equal(client_release(c, node, fh), 0);
		client_forget(c, node, 1);
		break;
	case 1:
		client_unlink(c, dir, name);
		break;
	case 2:
		client_rename(c, dir, name, other, second, r / 7 % 3);
		break;
	default:
		if (client_lookup(c, dir, name, &entry))
			break;
		if (client_open(c, entry.nodeid, O_RDONLY, &fh) == 0) {
			client_read(c, entry.nodeid, fh, 0, &byte, 1);
			client_release(c, entry.nodeid, fh);
		}
		client_forget(c, entry.nodeid, 1);
	}
}

static void *visit(void *arg)
{
	struct visitor *v = arg;

	if (fs_thread_prepare(v->c.server) < 0)
		return arg;
	for (unsigned int i = 0; i < v->steps; i++)
		step(v);
	return NULL;
}

#define VISITORS 6

static void test_tables_under_threads(void **state)
{
	static struct visitor visitors[VISITORS];
	struct fs_config config = { .fd_budget = 40 };
	struct fs_usage usage;
	struct client c;
	uint64_t dirs[2];
	void *failed;

	(void)state;
	client_start(&c, &config);
	assert_int_equal(client_mkdir(&c, 1, "a", 0755, &dirs[0]), 0);
	assert_int_equal(client_mkdir(&c, 1, "b", 0755, &dirs[1]), 0);
	for (unsigned int i = 0; i < VISITORS; i++) {
		struct visitor *v = &visitors[i];

		v->c = c;
		v->c.seed = i + 1;
		v->c.reply = malloc(FS_IO_BYTES_MAX + 65536);
		v->steps = 3000;
		memcpy(v->dirs, dirs, sizeof(dirs));
		assert_int_equal(pthread_create(&v->thread, NULL, visit, v), 0);
	}
	for (unsigned int i = 0; i < VISITORS; i++) {
		pthread_join(visitors[i].thread, &failed);
		assert_null(failed);
		free(visitors[i].c.reply);
	}
	/* Every lookup was forgotten and every handle released. */
	fs_usage(c.server, &usage);
	assert_int_equal(usage.inodes, 3);
	assert_int_equal(usage.handles, 0);
	assert_in_range(usage.fds, 1, 3);
	client_finish(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_completes),
		cmocka_unit_test(test_quiesce),
		cmocka_unit_test(test_threads_work_at_once),
		cmocka_unit_test(test_tables_under_threads),
	};

	if (has_no_openat2())
		return SKIPPED;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
