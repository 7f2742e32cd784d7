/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An event loop: one thread that waits in epoll and runs the devices' host side.  A
 * VM has one, and another one for disks.
 *
 * A virtqueue's runtime, a serial port's output and a console's input belong to
 * the thread of their loop.  Where a vCPU's register write must change such state (queue
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

/* @events: those reported, EPOLLIN, EPOLLOUT, ...  Loop thread. */
typedef void loop_handler(void *ctx, uint32_t events);

/* Creates a loop; its thread is not started.  0, or -errno, which is logged. */
int loop_create(struct loop **loop);

/* Stops the thread and frees the loop with all its sources.  NULL is fine. */
void loop_destroy(struct loop *loop);

/*
 * Start and stop the thread, any number of times.  0, or -errno, which is
 * logged.  loop_stop() completes pending calls.
 */
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

/*
 * Stops watching and frees the source; its handler is not called again.  Same
 * threads as loop_add().  NULL is fine.
 */
void loop_remove(struct loop_source *source);

/*
 * Runs @function(@ctx) on the loop thread and returns when it is done.  Called
 * on the loop thread, it runs at once.  While the thread is stopped it runs on
 * the caller's, one caller at a time.
 */
void loop_call(struct loop *loop, void (*function)(void *ctx), void *ctx);

/*
 * loop_call() for a caller that must not wait for a blocked loop thread.  0, or
 * -ETIMEDOUT if the function has not begun within @ns nanoseconds; it is not
 * run then.  Once begun, the function is waited for.  Silent.
 */
int loop_call_within(struct loop *loop, void (*function)(void *ctx), void *ctx,
		     uint64_t ns);

/*
 * Waits until the loop thread has handled what was pending before.  0, or
 * -ETIMEDOUT if the thread is blocked for more than @ns nanoseconds.
 */
int loop_sync(struct loop *loop, uint64_t ns);

#endif
