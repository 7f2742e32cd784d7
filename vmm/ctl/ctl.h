/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket of a machine, and its client.
 *
 * A unix stream socket, mode 0600.  A client sends one line, a verb and its
 * arguments separated by spaces, and gets one JSON object, ended by a newline,
 * with "ok" true or false, and "error" with the reason; then it may send the
 * next.  The verbs are in one table in verbs.c.
 */
#ifndef VMM_CTL_CTL_H
#define VMM_CTL_CTL_H

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

/* Ends the thread and removes the socket.  NULL is fine. */
void ctl_stop(struct ctl *ctl);

/*
 * Client: sends @line to the socket at @path and copies the answer to @out.  0
 * when it says "ok", -EREMOTEIO when it says otherwise (the reason is logged),
 * another -errno, logged, when nobody answers.
 */
int ctl_ask(const char *path, const char *line, FILE *out);

/*
 * verbs.c: carries out one line and writes the answer to @out, which is one
 * line of JSON.  Control side.
 */
void ctl_execute(struct vm *vm, char *line, FILE *out);

/* verbs.c: the verbs with their arguments, for help; NULL at the end. */
const char *ctl_verb_help(unsigned int n);

#endif
