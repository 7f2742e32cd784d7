/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One client of the control socket: lines in, answers out.  The server's
 * thread; every call returns at once, but for what a verb takes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/clock.h"
#include "vmm/ctl/private.h"

/* Now. */
uint64_t ctl_now_ms(void)
{
	return clock_now_ns() / 1000000;
}

/* Takes over a connection. */
int peer_open(struct peer *peer, int fd)
{
	*peer = (struct peer){ .fd = fd,
			       .line = malloc(CTL_LINE_BYTES),
			       .deadline_ms = ctl_now_ms() + CTL_PATIENCE_MS };
	if (peer->line)
		return 0;
	peer->fd = -1;
	return -ENOMEM;
}

/* Lets it go. */
void peer_close(struct peer *peer)
{
	if (peer->fd >= 0)
		close(peer->fd);
	free(peer->line);
	free(peer->unread);
	*peer = (struct peer){ .fd = -1 };
}

/* Whether there is something that it did not read. */
bool peer_must_read(const struct peer *peer)
{
	return peer->unread != NULL;
}

/* Sends what fits into the socket; how much, or -1 when nobody is there. */
static ssize_t send_some(const struct peer *peer, const char *data, size_t len)
{
	ssize_t n = send(peer->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return n;
}

/* Sends what is unread; false when nobody is there. */
static bool flush(struct peer *peer)
{
	ssize_t n = send_some(peer, peer->unread + peer->unread_at,
			      peer->unread_len - peer->unread_at);

	if (n < 0)
		return false;
	peer->unread_at += (size_t)n;
	if (peer->unread_at < peer->unread_len)
		return true;
	free(peer->unread);
	peer->unread = NULL;
	peer->unread_len = peer->unread_at = 0;
	peer->deadline_ms = ctl_now_ms() + CTL_PATIENCE_MS;
	return true;
}

/* Sends @data behind what is unread; false when that cannot be. */
static bool put(struct peer *peer, const char *data, size_t len)
{
	char *all = realloc(peer->unread, peer->unread_len + len);

	if (!all)
		return false;
	memcpy(all + peer->unread_len, data, len);
	peer->unread = all;
	peer->unread_len += len;
	return flush(peer);
}

/* A line before the answer; left out where one before it is not read yet. */
static void tell(void *ctx, const char *line, size_t len)
{
	struct peer *peer = ctx;

	if (!peer->unread)
		put(peer, line, len);
}

/* Carries out a line of @len bytes and answers; false to let it go. */
static bool answer(struct peer *peer, struct vm *vm, char *line, size_t len)
{
	const struct ctl_listener who = { .tell = tell, .ctx = peer };
	CLEANUP_FREE char *text = NULL;
	size_t text_len = 0;
	FILE *out = open_memstream(&text, &text_len);

	if (!out)
		return false;
	if (memchr(line, '\0', len))
		ctl_refuse(out, "a line with a zero byte");
	else
		ctl_execute(vm, line, &who, out);
	if (fclose(out) != 0)
		return false;
	peer->deadline_ms = ctl_now_ms() + CTL_PATIENCE_MS;
	return put(peer, text, text_len);
}

/* Carries out the lines that are whole, as long as their answers are read. */
static bool take_lines(struct peer *peer, struct vm *vm)
{
	size_t at = 0;
	bool ok = true;

	while (ok && !peer_must_read(peer)) {
		char *line = peer->line + at;
		char *end = memchr(line, '\n', peer->have - at);

		if (!end)
			break;
		*end = '\0';
		at += (size_t)(end - line) + 1;
		ok = answer(peer, vm, line, (size_t)(end - line));
	}
	peer->have -= at;
	memmove(peer->line, peer->line + at, peer->have);
	return ok;
}

/* Says that the line is too long; nobody knows where the next would begin. */
static void refuse_line(struct peer *peer)
{
	CLEANUP_FREE char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return;
	ctl_refuse(out, "too long a line");
	if (fclose(out) == 0)
		send_some(peer, text, len);
}

/* Reads what is there and serves it. */
static bool receive(struct peer *peer, struct vm *vm)
{
	ssize_t n = recv(peer->fd, peer->line + peer->have,
			 CTL_LINE_BYTES - peer->have, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	peer->have += (size_t)n;
	if (!take_lines(peer, vm))
		return false;
	if (peer->have < CTL_LINE_BYTES || peer_must_read(peer))
		return true;
	refuse_line(peer);
	return false;
}

/* Serves it. */
bool peer_serve(struct peer *peer, struct vm *vm)
{
	if (!peer_must_read(peer))
		return receive(peer, vm);
	if (!flush(peer))
		return false;
	/* Lines that came with the one whose answer has now been read. */
	return peer_must_read(peer) || take_lines(peer, vm);
}
