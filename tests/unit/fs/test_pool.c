/* SPDX-License-Identifier: BSD-2-Clause */
/* The pool: completion, quiesce, its end; and the tables under many threads. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "tests/unit/base/capture.h"
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

/*
 * A file with a lease: an open for writing waits for as long as
 * /proc/sys/fs/lease-break-time says, 45 s, and can be interrupted.
 */
struct leased {
	struct client c;
	struct fs_pool *pool;
	int fd;
	sem_t done;
	uint64_t node;
};

/* A request with a reply, in flight. */
struct call {
	struct fs_job job;
	struct iovec in, out;
	struct {
		struct fuse_in_header head;
		uint8_t args[64];
	} request;
	struct {
		struct fuse_out_header head;
		uint8_t data[200];
	} reply;
};

static void on_leased_done(void *ctx, struct fs_job *job)
{
	struct leased *l = ctx;

	(void)job;
	sem_post(&l->done);
}

static void start_leased(struct leased *l)
{
	memset(l, 0, sizeof(*l));
	sem_init(&l->done, 0, 0);
	client_start(&l->c, &usual);
	host_write(client_path(&l->c, "f"), "text");
	l->node = client_walk(&l->c, "f");
	/* Sent to the holder when the lease is to be given up. */
	signal(SIGIO, SIG_IGN);
	l->fd = open(client_path(&l->c, "f"), O_RDONLY | O_CLOEXEC);
	assert_true(l->fd >= 0);
	if (fcntl(l->fd, F_SETLEASE, F_RDLCK) < 0) {
		close(l->fd);
		client_finish(&l->c);
		skip();
	}
	assert_int_equal(fs_pool_create(&l->pool, l->c.server, 1,
					on_leased_done, l),
			 0);
}

static void finish_leased(struct leased *l)
{
	fs_pool_destroy(l->pool);
	close(l->fd);
	client_finish(&l->c);
	sem_destroy(&l->done);
}

/* Submits a request of any kind; @space 0: without a reply. */
static void send_call(struct leased *l, struct call *call, uint32_t opcode,
		      uint64_t node, const void *args, size_t len, size_t space)
{
	static uint64_t unique = 1000;

	memset(call, 0, sizeof(*call));
	call->request.head.len = (uint32_t)(sizeof(call->request.head) + len);
	call->request.head.opcode = opcode;
	call->request.head.nodeid = node;
	call->request.head.unique = ++unique;
	memcpy(call->request.args, args, len);
	call->in = (struct iovec){ &call->request, call->request.head.len };
	call->out = (struct iovec){ &call->reply, space };
	call->job.in = &call->in;
	call->job.out = &call->out;
	call->job.in_count = 1;
	call->job.out_count = space ? 1 : 0;
	fs_pool_submit(l->pool, &call->job);
}

/* Submits an open that waits for the lease, and sees it wait. */
static void send_open(struct leased *l, struct call *call)
{
	const struct fuse_open_in in = { .flags = O_RDWR };

	send_call(l, call, FUSE_OPEN, l->node, &in, sizeof(in),
		  sizeof(call->reply));
	usleep(100000);
	assert_int_equal(sem_trywait(&l->done), -1);
}

static void test_interrupt(void **state)
{
	static struct call open_call;
	struct fuse_interrupt_in in = { .unique = 1 };
	struct leased l;
	uint64_t since = clock_now_ns(), fh;

	(void)state;
	start_leased(&l);
	send_open(&l, &open_call);
	/* On another thread, as the one of this pool is in the request. */
	assert_int_equal(client_call(&l.c, FUSE_INTERRUPT, 0, &in, sizeof(in),
				     NULL, 0),
			 CLIENT_NO_REPLY);
	usleep(50000);
	assert_int_equal(sem_trywait(&l.done), -1);
	in.unique = open_call.request.head.unique;
	assert_int_equal(client_call(&l.c, FUSE_INTERRUPT, 0, &in, sizeof(in),
				     NULL, 0),
			 CLIENT_NO_REPLY);
	sem_wait(&l.done);
	assert_int_equal(open_call.reply.head.error, -EINTR);
	assert_in_range(clock_now_ns() - since, 0, 30 * NS_PER_S);
	/* Nothing is left of it. */
	assert_int_equal(fcntl(l.fd, F_SETLEASE, F_UNLCK), 0);
	assert_int_equal(client_open(&l.c, l.node, O_RDWR, &fh), 0);
	finish_leased(&l);
}

static void test_reset(void **state)
{
	static struct call open_call, attr_call, release_call;
	struct fuse_getattr_in attr_in = { 0 };
	struct fuse_release_in release_in = { 0 };
	uint64_t since = clock_now_ns(), fh;
	struct fuse_attr attr;
	struct fs_usage usage;
	struct leased l;

	(void)state;
	start_leased(&l);
	assert_int_equal(client_open(&l.c, l.node, O_RDONLY, &fh), 0);
	release_in.fh = fh;
	send_open(&l, &open_call);
	send_call(&l, &attr_call, FUSE_GETATTR, 1, &attr_in, sizeof(attr_in),
		  sizeof(attr_call.reply));
	send_call(&l, &release_call, FUSE_RELEASE, l.node, &release_in,
		  sizeof(release_in), sizeof(release_call.reply));
	fs_pool_interrupt(l.pool);
	for (int i = 0; i < 3; i++)
		assert_int_equal(sem_trywait(&l.done), 0);
	assert_in_range(clock_now_ns() - since, 0, 30 * NS_PER_S);
	assert_int_equal(open_call.reply.head.error, -EINTR);
	assert_int_equal(attr_call.reply.head.error, -EINTR);
	assert_int_equal(release_call.reply.head.error, 0);
	fs_usage(l.c.server, &usage);
	assert_int_equal(usage.handles, 0);
	/* It is usable afterwards. */
	fs_pool_resume(l.pool);
	assert_int_equal(client_getattr(&l.c, 1, &attr), 0);
	finish_leased(&l);
}

static void *post_later(void *hold)
{
	usleep(3300000);
	sem_post(hold);
	return NULL;
}

/* What cannot be interrupted is waited for, with one line. */
static void test_reset_waits(void **state)
{
	static struct work work;
	struct device device = { 0 };
	struct capture log;
	struct fs_pool *pool;
	const char *text;
	struct client c;
	pthread_t later;
	sem_t hold;

	(void)state;
	sem_init(&hold, 0, 0);
	device.hold = &hold;
	client_start(&c, &usual);
	assert_int_equal(fs_pool_create(&pool, c.server, 1, on_done, &device),
			 0);
	submit(pool, &work);
	usleep(50000);
	capture_start(&log, STDERR_FILENO);
	assert_int_equal(pthread_create(&later, NULL, post_later, &hold), 0);
	fs_pool_interrupt(pool);
	text = capture_end(&log);
	assert_non_null(strstr(text, "reset: the host's file system has been"));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	pthread_join(later, NULL);
	assert_int_equal(atomic_load(&device.done), 1);
	fs_pool_destroy(pool);
	sem_destroy(&hold);
	client_finish(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_completes),
		cmocka_unit_test(test_quiesce),
		cmocka_unit_test(test_threads_work_at_once),
		cmocka_unit_test(test_tables_under_threads),
		cmocka_unit_test(test_interrupt),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_reset_waits),
	};

	if (has_no_openat2())
		return SKIPPED;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
