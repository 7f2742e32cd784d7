/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket of a VM, and its client.
 *
 * A unix stream socket, mode 0600.  A request is one line: a verb and its
 * arguments, separated by spaces.  The reply is one JSON object and a newline:
 * "ok" is true or false, "error" the reason; then the next request may follow.
 * On request a verb reports its progress in lines of JSON with "progress" before
 * the reply.  The verbs are in one table in verbs.c.
 */
#ifndef VMM_CTL_CTL_H
#define VMM_CTL_CTL_H

#include <stdint.h>
#include <stdio.h>

struct ctl;
struct vm;

/* The longest request, with its newline. */
#define CTL_LINE_BYTES 8192

/* The lowest --rate of a save: a piece of 2 MiB is written at once. */
#define CTL_RATE_MIN_BYTES (UINT64_C(1) << 20)

/*
 * Listens at @path; clients that connect wait until ctl_serve().  A socket
 * without a listener is replaced.  -errno, logged:
 * -EADDRINUSE, -ENAMETOOLONG, ...
 */
int ctl_listen(struct ctl **ctl, const char *path, struct vm *vm);

/*
 * Starts the server thread, which runs until ctl_stop() and is the control side
 * of the VM.  The VM has started and outlives the server.
 */
int ctl_serve(struct ctl *ctl);

/* Removes the socket, so that no further client connects.  NULL is fine. */
void ctl_hide(struct ctl *ctl);

/* Ends the thread and removes the socket.  NULL is fine. */
void ctl_stop(struct ctl *ctl);

/*
 * Takes the progress of a verb, where it was requested; @of is 0 in the last
 * call, before any other output.
 */
struct ctl_progress {
	void (*tell)(void *ctx, uint64_t pages, uint64_t of);
	void *ctx;
};

/*
 * Client: sends @line to the socket at @path and copies the reply to @out, with
 * the progress lines unless @progress takes those.  0 when the reply is "ok",
 * -EREMOTEIO when it reports an error (which is logged), another -errno, logged,
 * when there is no reply.
 */
int ctl_ask(const char *path, const char *line,
	    const struct ctl_progress *progress, FILE *out);

#endif
