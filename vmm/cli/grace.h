/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The time that a machine may take to end.
 *
 * A thread in a system call that the host's kernel does not return from (a read
 * of a network file system whose server is gone, of a dead disk) cannot be
 * joined.  So a thread of its own looks at the end of a machine, and when that
 * takes too long puts the terminal in order and exits for all of them.
 */
#ifndef VMM_CLI_GRACE_H
#define VMM_CLI_GRACE_H

#include <stdint.h>

struct grace;

/* How long each step of the end may take: thaw(1) gives the same number. */
#define GRACE_NS (UINT64_C(10) * 1000 * 1000 * 1000)

/*
 * Starts the thread.  When time is over it calls @last, from that thread and
 * beside a main thread that stands still, and exits.  -errno, logged.
 */
int grace_start(struct grace **grace, void (*last)(void *ctx), void *ctx);

/*
 * The machine ends, and thaw will exit with @status: time begins to count.  The
 * first call wins; any thread, returns at once.
 */
void grace_begin(struct grace *grace, int status);

/* A step of the end is done; the next has as much time again, and @more_ns. */
void grace_renew(struct grace *grace, uint64_t more_ns);

/* Ends the thread, as the machine has ended in order.  NULL is fine. */
void grace_stop(struct grace *grace);

#endif
