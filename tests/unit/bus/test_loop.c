/* SPDX-License-Identifier: BSD-2-Clause */
/* The event loop: events, calls, removal from within a handler. */
#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/bus/loop.h"

struct counter {
	struct loop *loop;
	struct loop_source *source, *other;
	int fd;
	atomic_uint events;
	pthread_t thread;
	bool remove_self;
};

static void on_event(void *ctx, uint32_t events)
{
	struct counter *c = ctx;
	uint64_t n;

	assert_true(events & EPOLLIN);
	assert_int_equal(read(c->fd, &n, sizeof(n)), sizeof(n));
	c->thread = pthread_self();
	if (c->remove_self) {
		loop_remove(c->source);
		loop_remove(c->other);
		c->source = c->other = NULL;
	}
	atomic_fetch_add(&c->events, (unsigned int)n);
}

static void add(struct counter *c)
{
	c->fd = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(loop_add(c->loop, &c->source, c->fd, EPOLLIN, on_event,
				  c),
			 0);
}

static void signal_fd(int fd)
{
	uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static void wait_events(struct counter *c, unsigned int n)
{
	for (int i = 0; i < 5000 && atomic_load(&c->events) < n; i++)
		usleep(1000);
	assert_int_equal(atomic_load(&c->events), n);
}

/* A descriptor's events reach its handler, on the loop's thread. */
static void dispatches(void **state)
{
	struct counter c = { .remove_self = false };

	(void)state;
	assert_int_equal(loop_create(&c.loop), 0);
	add(&c);
	signal_fd(c.fd);
	assert_int_equal(loop_start(c.loop), 0);
	wait_events(&c, 1);
	signal_fd(c.fd);
	wait_events(&c, 2);
	assert_false(pthread_equal(c.thread, pthread_self()));
	loop_stop(c.loop);
	/* It can run again. */
	assert_int_equal(loop_start(c.loop), 0);
	signal_fd(c.fd);
	wait_events(&c, 3);
	loop_destroy(c.loop);
	close(c.fd);
}

/* A handler may remove itself and another that is ready as well. */
static void handler_removes(void **state)
{
	struct counter a = { .remove_self = true }, b = { .remove_self = true };

	(void)state;
	assert_int_equal(loop_create(&a.loop), 0);
	b.loop = a.loop;
	add(&a);
	add(&b);
	a.other = b.source;
	b.other = a.source;
	signal_fd(a.fd);
	signal_fd(b.fd);
	assert_int_equal(loop_start(a.loop), 0);
	for (int i = 0;
	     i < 5000 && !atomic_load(&a.events) && !atomic_load(&b.events);
	     i++)
		usleep(1000);
	loop_destroy(a.loop);
	assert_int_equal(atomic_load(&a.events) + atomic_load(&b.events), 1);
	close(a.fd);
	close(b.fd);
}

struct call {
	pthread_t thread;
	unsigned int count; /* the loop's thread is the only writer */
	struct loop *loop;
};

static void on_call(void *ctx)
{
	struct call *call = ctx;

	call->thread = pthread_self();
	call->count++;
}

static void *caller(void *ctx)
{
	struct call *call = ctx;

	for (int i = 0; i < 1000; i++)
		loop_call(call->loop, on_call, call);
	return NULL;
}

/* Calls run on the loop's thread, one at a time, and are waited for. */
static void calls(void **state)
{
	struct call call = { .count = 0 };
	pthread_t threads[3];

	(void)state;
	assert_int_equal(loop_create(&call.loop), 0);
	loop_call(call.loop, on_call, &call);
	assert_true(pthread_equal(call.thread, pthread_self()));
	assert_int_equal(loop_start(call.loop), 0);
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, caller, &call);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(call.count, 3001);
	assert_false(pthread_equal(call.thread, pthread_self()));
	loop_destroy(call.loop);
}

/* A handler that blocks until it is released. */
struct blocker {
	struct loop_source *source;
	int fd;
	sem_t entered, release;
};

static void on_block(void *ctx, uint32_t events)
{
	struct blocker *b = ctx;
	uint64_t n;

	(void)events;
	assert_int_equal(read(b->fd, &n, sizeof(n)), sizeof(n));
	sem_post(&b->entered);
	sem_wait(&b->release);
}

/* Starts a loop and blocks its thread in a handler. */
static struct loop *blocked_loop(struct blocker *b)
{
	struct loop *loop;

	sem_init(&b->entered, 0, 0);
	sem_init(&b->release, 0, 0);
	b->fd = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(loop_create(&loop), 0);
	assert_int_equal(loop_add(loop, &b->source, b->fd, EPOLLIN, on_block,
				  b),
			 0);
	assert_int_equal(loop_start(loop), 0);
	signal_fd(b->fd);
	sem_wait(&b->entered);
	return loop;
}

/* A call that does not begin in time never runs; others do, in their order. */
static void call_is_withdrawn(void **state)
{
	struct call never = { .count = 0 }, other = { .count = 0 };
	struct blocker b;
	struct loop *loop = blocked_loop(&b);
	pthread_t thread;

	(void)state;
	other.loop = loop;
	pthread_create(&thread, NULL, caller, &other);
	for (int i = 0; i < 3; i++)
		assert_int_equal(loop_call_within(loop, on_call, &never,
						  1000000),
				 -ETIMEDOUT);
	sem_post(&b.release);
	pthread_join(thread, NULL);
	assert_int_equal(other.count, 1000);
	assert_int_equal(never.count, 0);
	/* One that begins is waited for, and so is the next. */
	while (loop_call_within(loop, on_call, &never, 1000000) < 0)
		;
	assert_int_equal(never.count, 1);
	loop_call(loop, on_call, &never);
	assert_int_equal(never.count, 2);
	loop_stop(loop);
	assert_int_equal(loop_call_within(loop, on_call, &never, 0), 0);
	assert_int_equal(never.count, 3);
	loop_destroy(loop);
	close(b.fd);
}

/* The time limit is for the start of a call, not for its end. */
static void on_slow_call(void *ctx)
{
	usleep(50000);
	on_call(ctx);
}

static void begun_is_waited_for(void **state)
{
	struct call call = { .count = 0 };

	(void)state;
	assert_int_equal(loop_create(&call.loop), 0);
	assert_int_equal(loop_start(call.loop), 0);
	for (unsigned int i = 1; i <= 3; i++) {
		while (loop_call_within(call.loop, on_slow_call, &call,
					10000000) < 0)
			;
		assert_int_equal(call.count, i);
	}
	loop_destroy(call.loop);
}

/* A call that detects another running at the same time. */
struct alone {
	struct loop *loop;
	atomic_bool inside, met;
};

static void on_alone_call(void *ctx)
{
	struct alone *alone = ctx;

	if (atomic_exchange(&alone->inside, true))
		atomic_store(&alone->met, true);
	usleep(100);
	atomic_store(&alone->inside, false);
}

/* A call that makes another. */
static void on_outer_call(void *ctx)
{
	struct alone *alone = ctx;

	loop_call(alone->loop, on_alone_call, alone);
}

static void *call_alone(void *ctx)
{
	struct alone *alone = ctx;

	for (int i = 0; i < 200; i++)
		loop_call(alone->loop, on_outer_call, alone);
	return NULL;
}

/* While the thread does not run, calls are still one at a time. */
static void calls_of_stopped_loop(void **state)
{
	struct alone alone = { .inside = false };
	pthread_t threads[3];

	(void)state;
	assert_int_equal(loop_create(&alone.loop), 0);
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, call_alone, &alone);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_false(atomic_load(&alone.met));
	loop_destroy(alone.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dispatches),
		cmocka_unit_test(handler_removes),
		cmocka_unit_test(calls),
		cmocka_unit_test(call_is_withdrawn),
		cmocka_unit_test(begun_is_waited_for),
		cmocka_unit_test(calls_of_stopped_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
