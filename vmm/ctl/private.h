/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the room share: a client as the server sees it, and the
 * verbs.  All of it on the server's thread.
 */
#ifndef VMM_CTL_PRIVATE_H
#define VMM_CTL_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "vmm/ctl/ctl.h"

/* How long a client may take for a line, and to read its answer. */
#define CTL_TIMEOUT_MS 2000

/*
 * One client.  Nothing here waits for it: what it does not read is kept, and it
 * is not read from as long as there is some of that.
 */
struct connection {
	int fd; /* -1: nobody */
	uint64_t deadline_ms; /* of the line, or of the reading */
	char *line; /* CTL_LINE_BYTES; owned */
	size_t have;
	char *unsent; /* owned; NULL: all was read */
	size_t unsent_len, unsent_at;
};

/* Takes over a connection; -errno. */
int connection_open(struct connection *connection, int fd);
void connection_close(struct connection *connection);

/* Whether it still has to read an answer. */
bool connection_has_unsent(const struct connection *connection);

/*
 * Does what can be done after poll() said that the client can be read from or
 * written to; false when it is to be let go.
 */
bool connection_serve(struct connection *connection, struct vm *vm);

/* Who asked: hears lines before the answer, and may miss any of them. */
struct ctl_listener {
	void (*tell)(void *ctx, const char *line, size_t len);
	void *ctx;
};

/*
 * verbs.c: carries out one line and writes the answer to @out, which is one
 * line of JSON.
 */
void ctl_execute(struct vm *vm, char *line, const struct ctl_listener *who,
		 FILE *out);

/* verbs.c: an answer that is a refusal. */
void ctl_refuse(FILE *out, const char *why);

/* stale_socket.c: removes what killed machines left beside @path. */
void stale_socket_remove(const char *path);

#endif
