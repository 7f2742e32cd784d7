/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by the files of the room: client connections and verbs.  All on the
 * server's thread.
 */
#ifndef VMM_CTL_PRIVATE_H
#define VMM_CTL_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "vmm/ctl/ctl.h"

/* For a client to complete a request, and to read its reply. */
#define CTL_TIMEOUT_MS 2000

/*
 * One client.  Sending never blocks: output that does not fit is buffered, and
 * no further request is read until it has been sent.
 */
struct connection {
	int fd; /* -1: unused */
	uint64_t deadline_ms; /* of the request or the reply, clock_now_ms() */
	char *line; /* CTL_LINE_BYTES; owned */
	size_t have;
	char *unsent; /* owned; NULL: nothing buffered */
	size_t unsent_len, unsent_at;
};

/* Takes ownership of the socket @fd; -errno, then @fd stays the caller's. */
int connection_open(struct connection *connection, int fd);
void connection_close(struct connection *connection);

/* Whether output is buffered: poll for POLLOUT, not POLLIN. */
bool connection_has_unsent(const struct connection *connection);

/*
 * Sends and receives what is possible after poll() reported the socket ready.
 * False: the caller closes the connection.
 */
bool connection_serve(struct connection *connection, struct vm *vm);

/* Takes progress lines before the reply; may drop any of them. */
struct ctl_listener {
	void (*tell)(void *ctx, const char *line, size_t len);
	bool (*is_gone)(void *ctx); /* it has closed the connection */
	void *ctx;
};

/*
 * verbs.c: executes one request and writes the reply, one line of JSON, to
 * @out.
 */
void ctl_execute(struct vm *vm, char *line, const struct ctl_listener *listener,
		 FILE *out);

/* verbs.c: a reply that reports the error @why. */
void ctl_refuse(FILE *out, const char *why);

/* stale_socket.c: removes the stale sockets of @path's temporary names. */
void stale_socket_remove(const char *path);

#endif
