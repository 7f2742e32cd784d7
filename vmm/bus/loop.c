/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The event loop.
 *
 * The thread waits in epoll_wait(2); an eventfd wakes it for calls and for
 * loop_stop().  A source that is removed while its batch of events is being
 * handled is marked dead and freed after the batch, so that no handler runs on
 * freed memory.
 *
 * The lock guards the queue of calls and the thread's state; it is held neither
 * during a handler nor during a call.  While the thread is stopped, calls run on
 * the threads that make them; the lock @idle serialises them and is taken before
 * @lock.
 */
#include "vmm/bus/loop.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/base/event.h"
#include "vmm/base/log.h"
#include "vmm/base/thread.h"

#define EVENTS_AT_ONCE 32

/* One watched descriptor. */
struct loop_source {
	struct loop *loop;
	int fd;
	bool dead;
	loop_handler *handler;
	void *ctx;
	struct loop_source *next; /* all sources, or those to free */
};

/* A call that a thread waits for; lives on that thread's stack. */
struct loop_pending {
	void (*function)(void *ctx);
	void *ctx;
	bool begun, done;
	struct loop_pending *next;
};

struct loop {
	int epoll_fd, wake_fd;
	struct loop_source *sources;
	struct loop_source *dead; /* to free after the batch */
	pthread_mutex_t idle; /* recursive: a call may make another */
	pthread_mutex_t lock;
	pthread_cond_t call_done;
	struct loop_pending *calls, **calls_end;
	pthread_t thread;
	bool running, stop;
};

/* Frees a loop whose thread is stopped. */
static void loop_free(struct loop *loop)
{
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	pthread_cond_destroy(&loop->call_done);
	pthread_mutex_destroy(&loop->lock);
	pthread_mutex_destroy(&loop->idle);
	free(loop);
}

static void init_locks(struct loop *loop)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&loop->idle, &attr);
	pthread_mutexattr_destroy(&attr);
	pthread_mutex_init(&loop->lock, NULL);
	clock_cond_init(&loop->call_done);
}

int loop_create(struct loop **out)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	struct epoll_event wake = { .events = EPOLLIN,
				    .data = { .ptr = NULL } };

	if (!loop)
		return log_errno(ENOMEM, "event loop");
	loop->calls_end = &loop->calls;
	init_locks(loop);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->epoll_fd < 0 || loop->wake_fd < 0 ||
	    epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &wake) <
		    0) {
		int err = errno;

		loop_free(loop);
		return log_errno(err, "event loop");
	}
	*out = loop;
	return 0;
}

/* Frees the sources that were removed. */
static void free_dead(struct loop *loop)
{
	while (loop->dead) {
		struct loop_source *source = loop->dead;

		loop->dead = source->next;
		free(source);
	}
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	loop_stop(loop);
	while (loop->sources)
		loop_remove(loop->sources);
	free_dead(loop);
	loop_free(loop);
}

/* Runs the pending calls; false if the thread is to stop. */
static bool run_calls(struct loop *loop)
{
	bool stop;

	pthread_mutex_lock(&loop->lock);
	while (loop->calls) {
		struct loop_pending *call = loop->calls;

		loop->calls = call->next;
		if (!loop->calls)
			loop->calls_end = &loop->calls;
		call->begun = true;
		pthread_mutex_unlock(&loop->lock);
		call->function(call->ctx);
		pthread_mutex_lock(&loop->lock);
		call->done = true;
		pthread_cond_broadcast(&loop->call_done);
	}
	stop = loop->stop;
	pthread_mutex_unlock(&loop->lock);
	return !stop;
}

static void dispatch(struct loop *loop, const struct epoll_event *event)
{
	struct loop_source *source = event->data.ptr;

	if (!source)
		event_clear(loop->wake_fd);
	else if (!source->dead)
		source->handler(source->ctx, event->events);
}

static void *loop_thread(void *arg)
{
	struct loop *loop = arg;
	struct epoll_event events[EVENTS_AT_ONCE];

	do {
		int n = epoll_wait(loop->epoll_fd, events, EVENTS_AT_ONCE, -1);

		for (int i = 0; i < n; i++)
			dispatch(loop, &events[i]);
		free_dead(loop);
	} while (run_calls(loop));
	return NULL;
}

int loop_start(struct loop *loop)
{
	int r;

	loop->stop = false;
	pthread_mutex_lock(&loop->lock);
	r = thread_start(&loop->thread, "loop", loop_thread, loop);
	loop->running = r == 0;
	pthread_mutex_unlock(&loop->lock);
	return r < 0 ? log_errno(-r, "event loop thread") : 0;
}

void loop_stop(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	if (!loop->running) {
		pthread_mutex_unlock(&loop->lock);
		return;
	}
	loop->stop = true;
	pthread_mutex_unlock(&loop->lock);
	event_signal(loop->wake_fd);
	pthread_join(loop->thread, NULL);
	pthread_mutex_lock(&loop->idle);
	pthread_mutex_lock(&loop->lock);
	loop->running = false;
	pthread_mutex_unlock(&loop->lock);
	/* Calls queued after the thread's last run_calls(). */
	run_calls(loop);
	pthread_mutex_unlock(&loop->idle);
}

int loop_add(struct loop *loop, struct loop_source **out, int fd,
	     uint32_t events, loop_handler *handler, void *ctx)
{
	struct loop_source *source = calloc(1, sizeof(*source));
	struct epoll_event event = { .events = events };

	if (!source)
		return -ENOMEM;
	*source = (struct loop_source){ .loop = loop,
					.fd = fd,
					.handler = handler,
					.ctx = ctx,
					.next = loop->sources };
	event.data.ptr = source;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		int err = errno;

		free(source);
		return -err;
	}
	loop->sources = source;
	*out = source;
	return 0;
}

void loop_remove(struct loop_source *source)
{
	struct loop_source **at;

	if (!source)
		return;
	epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	for (at = &source->loop->sources; *at != source; at = &(*at)->next)
		;
	*at = source->next;
	source->dead = true;
	source->next = source->loop->dead;
	source->loop->dead = source;
}

/* Dequeues a call that has not begun; lock held. */
static void withdraw(struct loop *loop, struct loop_pending *call)
{
	struct loop_pending **at = &loop->calls;

	while (*at != call)
		at = &(*at)->next;
	*at = call->next;
	if (!call->next)
		loop->calls_end = at;
}

/*
 * Queues a call and waits until it is done.  With @until: -ETIMEDOUT if it has
 * not begun by then.  Lock held.
 */
static int call_and_wait(struct loop *loop, struct loop_pending *call,
			 const struct timespec *until)
{
	int r = 0;

	*loop->calls_end = call;
	loop->calls_end = &call->next;
	event_signal(loop->wake_fd);
	while (until && r == 0 && !call->begun)
		r = pthread_cond_timedwait(&loop->call_done, &loop->lock,
					   until);
	if (until && !call->begun) {
		withdraw(loop, call);
		return -ETIMEDOUT;
	}
	while (!call->done)
		pthread_cond_wait(&loop->call_done, &loop->lock);
	return 0;
}

/* Runs a call on the loop thread; errors as call_and_wait(). */
static int run_there(struct loop *loop, struct loop_pending *call,
		     const struct timespec *until)
{
	bool idle;
	int r;

	pthread_mutex_lock(&loop->lock);
	if (!loop->running || pthread_equal(loop->thread, pthread_self())) {
		idle = !loop->running;
		pthread_mutex_unlock(&loop->lock);
		if (idle)
			pthread_mutex_lock(&loop->idle);
		call->function(call->ctx);
		if (idle)
			pthread_mutex_unlock(&loop->idle);
		return 0;
	}
	r = call_and_wait(loop, call, until);
	pthread_mutex_unlock(&loop->lock);
	return r;
}

void loop_call(struct loop *loop, void (*function)(void *ctx), void *ctx)
{
	struct loop_pending call = { .function = function, .ctx = ctx };

	run_there(loop, &call, NULL);
}

int loop_call_within(struct loop *loop, void (*function)(void *ctx), void *ctx,
		     uint64_t ns)
{
	const struct timespec until = clock_timespec(clock_now_ns() + ns);
	struct loop_pending call = { .function = function, .ctx = ctx };

	return run_there(loop, &call, &until);
}

static void nothing(void *ctx)
{
	(void)ctx;
}

int loop_sync(struct loop *loop, uint64_t ns)
{
	return loop_call_within(loop, nothing, NULL, ns);
}
