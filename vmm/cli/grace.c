/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lock guards all of struct grace.  The only wait under it is the one for
 * the condition.
 */
#include "vmm/cli/grace.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/base/thread.h"

/* How long to wait until standard error can be written to. */
#define STDERR_MS 1000

struct grace {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int status; /* -1: the VM has not ended */
	uint64_t until_ns;
	bool done;
	void (*last)(void *ctx);
	void *ctx;
};

/* Waits for a change or the deadline; the lock is held. */
static void wait_for_change(struct grace *grace)
{
	const struct timespec until = clock_timespec(grace->until_ns);

	if (grace->status < 0)
		pthread_cond_wait(&grace->changed, &grace->lock);
	else
		pthread_cond_timedwait(&grace->changed, &grace->lock, &until);
}

/* Whether a write to standard error would not block. */
static bool stderr_is_writable(void)
{
	struct pollfd err = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&err, 1, STDERR_MS) > 0;
}

/* Exits without waiting for other threads or a reader of standard error. */
static void __attribute__((noreturn)) leave(const struct grace *grace)
{
	grace->last(grace->ctx);
	if (!stderr_is_writable())
		_exit(grace->status);
	log_error("a system call did not return within %.0f s after the "
		  "guest's end (unresponsive disk or file server?); exiting "
		  "without waiting for it",
		  (double)GRACE_NS / NS_PER_S);
	_exit(grace->status);
}

static void *grace_main(void *arg)
{
	struct grace *grace = arg;
	bool over = false;

	pthread_mutex_lock(&grace->lock);
	while (!grace->done && !over) {
		wait_for_change(grace);
		over = grace->status >= 0 && clock_now_ns() >= grace->until_ns;
	}
	over = over && !grace->done;
	pthread_mutex_unlock(&grace->lock);
	if (over)
		leave(grace);
	return NULL;
}

int grace_start(struct grace **out, void (*last)(void *ctx), void *ctx)
{
	struct grace *grace = calloc(1, sizeof(*grace));
	int r;

	if (!grace)
		return log_errno(ENOMEM, "grace period");
	grace->status = -1;
	grace->last = last;
	grace->ctx = ctx;
	pthread_mutex_init(&grace->lock, NULL);
	clock_cond_init(&grace->changed);
	r = thread_start(&grace->thread, "grace", grace_main, grace);
	if (r < 0) {
		pthread_cond_destroy(&grace->changed);
		pthread_mutex_destroy(&grace->lock);
		free(grace);
		return log_errno(-r, "grace thread");
	}
	*out = grace;
	return 0;
}

void grace_begin(struct grace *grace, int status)
{
	pthread_mutex_lock(&grace->lock);
	if (grace->status < 0) {
		grace->status = status;
		grace->until_ns = clock_now_ns() + GRACE_NS;
		pthread_cond_signal(&grace->changed);
	}
	pthread_mutex_unlock(&grace->lock);
}

void grace_renew(struct grace *grace, uint64_t more_ns)
{
	pthread_mutex_lock(&grace->lock);
	grace->until_ns = clock_now_ns() + GRACE_NS + more_ns;
	pthread_mutex_unlock(&grace->lock);
}

void grace_stop(struct grace *grace)
{
	if (!grace)
		return;
	pthread_mutex_lock(&grace->lock);
	grace->done = true;
	pthread_cond_signal(&grace->changed);
	pthread_mutex_unlock(&grace->lock);
	pthread_join(grace->thread, NULL);
	pthread_cond_destroy(&grace->changed);
	pthread_mutex_destroy(&grace->lock);
	free(grace);
}
