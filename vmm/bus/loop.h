/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The event loop: one thread, one epoll, that runs the devices' host side.
 *
 * A virtqueue's runtime, a serial port's output, a console's input belong to
 * the loop thread.  Where a vCPU's register write must change such state (queue
 * enable, device reset) it does so by loop_call(), which runs a function on the
 * loop thread and waits for it; hence no lock is held while guest memory is
 * touched.  The loop thread itself never waits for a vCPU.
 */
#ifndef VMM_BUS_LOOP_H
#define VMM_BUS_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_source;

/* @events: EPOLLIN, EPOLLOUT, ... as they came.  Loop thread. */
typedef void loop_handler(void *ctx, uint32_t events);

/* Creates a loop whose thread does not run yet.  -errno, logged. */
int loop_create(struct loop **loop);

/* Stops the thread, and frees it all; sources that are left are dropped. */
void loop_destroy(struct loop *loop);

/* Starts and stops the thread; both may be called again.  -errno, logged. */
int loop_start(struct loop *loop);
void loop_stop(struct loop *loop);

/*
 * Watches @fd for @events (EPOLLIN, EPOLLOUT; level-triggered).  The
 * descriptor stays the caller's.  Loop thread, or any while it is stopped, or
 * within loop_call().  -EPERM for a file that epoll does not take (a regular
 * file is always ready).  Silent.
 */
int loop_add(struct loop *loop, struct loop_source **source, int fd,
	     uint32_t events, loop_handler *handler, void *ctx);

/* Stops watching; no callback follows.  NULL is fine. */
void loop_remove(struct loop_source *source);

/*
 * Runs @function(@ctx) on the loop thread and returns when it is done.  On the
 * loop thread itself it is called at once, and while the thread does not run on
 * the caller's, one caller at a time.
 */
void loop_call(struct loop *loop, void (*function)(void *ctx), void *ctx);

/*
 * The same for a caller that must not wait for whatever the loop thread waits
 * for: -ETIMEDOUT when it has not begun the function within @ns, and then it
 * never does.  Once begun, the function is waited for.  Silent.
 */
int loop_call_within(struct loop *loop, void (*function)(void *ctx), void *ctx,
		     uint64_t ns);

#endif
