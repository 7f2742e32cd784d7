/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The grace period: how long a VM may take to end.
 *
 * A thread cannot be joined while it is in a system call that does not return
 * (a read from a dead disk, or from a network file system whose server is
 * gone).  The grace thread waits for the end of the VM.  If a step of it
 * takes too long, the thread restores the terminal and exits the process.
 */
#ifndef VMM_CLI_GRACE_H
#define VMM_CLI_GRACE_H

#include <stdint.h>

struct grace;

/* Limit of each step, in ns; thaw(1) documents the same number. */
#define GRACE_NS (UINT64_C(10) * 1000 * 1000 * 1000)

/*
 * Starts the thread.  When the time is over it calls @last, on that thread and
 * while the main thread may be blocked, and exits.  -errno, logged.
 */
int grace_start(struct grace **grace, void (*last)(void *ctx), void *ctx);

/*
 * The VM ends, thaw will exit with @status: the time starts.  The first
 * call wins; any thread, does not block.
 */
void grace_begin(struct grace *grace, int status);

/* A step is done; the next one has GRACE_NS and @more_ns. */
void grace_renew(struct grace *grace, uint64_t more_ns);

/* The VM has ended: joins the thread and frees @grace, which may be NULL. */
void grace_stop(struct grace *grace);

#endif
