/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket of a machine, and its client.
 *
 * A unix stream socket, mode 0600.  A client sends one line, a verb and its
 * arguments separated by spaces, and gets one JSON object, ended by a newline,
 * with "ok" true or false, and "error" with the reason; then it may send the
 * next.  A verb that is asked to tells how far it is, in lines of JSON before
 * the answer that have "progress".  The verbs are in one table in verbs.c.
 */
#ifndef VMM_CTL_CTL_H
#define VMM_CTL_CTL_H

#include <stdint.h>
#include <stdio.h>

struct ctl;
struct vm;

/* The longest line of a client. */
#define CTL_LINE_BYTES 8192

/*
 * Listens at @path; who connects waits until ctl_serve().  A socket that is
 * there already is replaced when nobody listens at it.  -errno, logged:
 * -EADDRINUSE, -ENAMETOOLONG, ...
 */
int ctl_listen(struct ctl **ctl, const char *path, struct vm *vm);

/*
 * Serves on a thread of its own until ctl_stop().  The machine, which has
 * started, outlives the server; the server's thread is its control side.
 */
int ctl_serve(struct ctl *ctl);

/* Removes the socket, so that no further client connects.  NULL is fine. */
void ctl_hide(struct ctl *ctl);

/* Ends the thread and removes the socket.  NULL is fine. */
void ctl_stop(struct ctl *ctl);

/*
 * Hears how far a verb is, where it was asked to tell; @of is 0 the last time,
 * before anything else is said.
 */
struct ctl_progress {
	void (*tell)(void *ctx, uint64_t pages, uint64_t of);
	void *ctx;
};

/*
 * Client: sends @line to the socket at @path and copies the answer to @out,
 * with the lines before it unless @progress takes those.  0 when it says "ok",
 * -EREMOTEIO when it says otherwise (the reason is logged), another -errno,
 * logged, when nobody answers.
 */
int ctl_ask(const char *path, const char *line,
	    const struct ctl_progress *progress, FILE *out);

#endif
