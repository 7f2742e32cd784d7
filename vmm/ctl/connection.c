/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One client connection of the control socket: requests in, replies out.  The
 * server's thread; no call blocks, except while a verb runs.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/clock.h"
#include "vmm/ctl/private.h"

int connection_open(struct connection *connection, int fd)
{
	*connection = (struct connection){ .fd = fd,
					   .line = malloc(CTL_LINE_BYTES),
					   .deadline_ms = clock_now_ms() +
							  CTL_TIMEOUT_MS };
	if (connection->line)
		return 0;
	connection->fd = -1;
	return -ENOMEM;
}

void connection_close(struct connection *connection)
{
	if (connection->fd >= 0)
		close(connection->fd);
	free(connection->line);
	free(connection->unsent);
	*connection = (struct connection){ .fd = -1 };
}

bool connection_has_unsent(const struct connection *connection)
{
	return connection->unsent != NULL;
}

/* Sends what fits into the socket: bytes, or -1 when the client is gone. */
static ssize_t send_some(const struct connection *connection, const char *data,
			 size_t len)
{
	ssize_t n =
		send(connection->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return n;
}

/* Sends buffered output; false when the client is gone. */
static bool flush(struct connection *connection)
{
	ssize_t n = send_some(connection,
			      connection->unsent + connection->unsent_at,
			      connection->unsent_len - connection->unsent_at);

	if (n < 0)
		return false;
	connection->unsent_at += (size_t)n;
	if (connection->unsent_at < connection->unsent_len)
		return true;
	free(connection->unsent);
	connection->unsent = NULL;
	connection->unsent_len = connection->unsent_at = 0;
	connection->deadline_ms = clock_now_ms() + CTL_TIMEOUT_MS;
	return true;
}

/* Appends @data to the buffered output and sends; false on failure. */
static bool put(struct connection *connection, const char *data, size_t len)
{
	char *all = realloc(connection->unsent, connection->unsent_len + len);

	if (!all)
		return false;
	memcpy(all + connection->unsent_len, data, len);
	connection->unsent = all;
	connection->unsent_len += len;
	return flush(connection);
}

/* A progress line; dropped while earlier output is still buffered. */
static void tell(void *ctx, const char *line, size_t len)
{
	struct connection *connection = ctx;

	if (!connection->unsent)
		put(connection, line, len);
}

/* One that only will not send any more still wants the reply. */
static bool is_gone(void *ctx)
{
	const struct connection *connection = ctx;
	struct pollfd p = { .fd = connection->fd };

	return poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR);
}

/* Executes one request of @len bytes and replies; false: close. */
static bool answer(struct connection *connection, struct vm *vm, char *line,
		   size_t len)
{
	const struct ctl_listener listener = { .tell = tell,
					       .is_gone = is_gone,
					       .ctx = connection };
	CLEANUP_FREE char *text = NULL;
	size_t text_len = 0;
	FILE *out = open_memstream(&text, &text_len);

	if (!out)
		return false;
	if (memchr(line, '\0', len))
		ctl_refuse(out, "request contains a NUL byte");
	else
		ctl_execute(vm, line, &listener, out);
	if (fclose(out) != 0)
		return false;
	connection->deadline_ms = clock_now_ms() + CTL_TIMEOUT_MS;
	return put(connection, text, text_len);
}

/* Executes complete requests, until a reply has to be buffered. */
static bool take_lines(struct connection *connection, struct vm *vm)
{
	size_t at = 0;
	bool ok = true;

	while (ok && !connection_has_unsent(connection)) {
		char *line = connection->line + at;
		char *end = memchr(line, '\n', connection->have - at);

		if (!end)
			break;
		*end = '\0';
		at += (size_t)(end - line) + 1;
		ok = answer(connection, vm, line, (size_t)(end - line));
	}
	connection->have -= at;
	memmove(connection->line, connection->line + at, connection->have);
	return ok;
}

/* Refuses a request that is too long; the start of the next is unknown. */
static void refuse_line(struct connection *connection)
{
	CLEANUP_FREE char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return;
	ctl_refuse(out, "request too long");
	if (fclose(out) == 0)
		send_some(connection, text, len);
}

/* Receives input and executes it; false: close. */
static bool receive(struct connection *connection, struct vm *vm)
{
	ssize_t n = recv(connection->fd, connection->line + connection->have,
			 CTL_LINE_BYTES - connection->have, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	connection->have += (size_t)n;
	if (!take_lines(connection, vm))
		return false;
	if (connection->have < CTL_LINE_BYTES ||
	    connection_has_unsent(connection))
		return true;
	refuse_line(connection);
	return false;
}

bool connection_serve(struct connection *connection, struct vm *vm)
{
	if (!connection_has_unsent(connection))
		return receive(connection, vm);
	if (!flush(connection))
		return false;
	/* Requests that were received with the one that was just answered. */
	return connection_has_unsent(connection) || take_lines(connection, vm);
}
