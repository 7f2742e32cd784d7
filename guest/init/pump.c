/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest/init/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"

/*
 * What a pty may hold: more than a kernel keeps, and a bound for writers that do
 * not stop.
 */
#define PTY_LEFT_BYTES MIB

/* Rounds of one step, so that a fast stream does not hold up the others. */
#define STEP_ROUNDS 16

/* Closes both ends and drops the bytes. */
static void stop(struct pump *p)
{
	close_fd(&p->from);
	close_fd(&p->to);
	p->start = p->end = 0;
}

/* Passes the end of input to a pty, which has a second user. */
static void end_pty(int fd)
{
	struct termios modes;

	if (tcgetattr(fd, &modes) == 0 && modes.c_lflag & ICANON &&
	    write(fd, &modes.c_cc[VEOF], 1) < 0)
		return; /* its queue is full: as if the key was lost */
}

/* After the end of @from: closes @to once it has all bytes. */
static void end_if_drained(struct pump *p)
{
	if (p->from >= 0 || p->to < 0 || p->start < p->end)
		return;
	if (p->to_is_pty)
		end_pty(p->to);
	close_fd(&p->to);
}

int pump_init(struct pump *p, int from, int to, bool to_is_pty)
{
	*p = (struct pump){ .from = from,
			    .to = to,
			    .to_is_pty = to_is_pty,
			    .budget_bytes = UINT64_MAX };
	if (from >= 0 && to >= 0)
		p->data = malloc(PUMP_BYTES);
	if (!p->data)
		stop(p);
	return from >= 0 && to >= 0 && !p->data ? -ENOMEM : 0;
}

void pump_finish(struct pump *p)
{
	stop(p);
	free(p->data);
	p->data = NULL;
}

static bool has_room(const struct pump *p)
{
	return p->end < PUMP_BYTES || p->start > 0;
}

void pump_polls(const struct pump *p, struct pollfd polls[2])
{
	bool full = !has_room(p), filled = p->start < p->end;

	/* A hang-up cannot be masked, so it is not asked for while full. */
	polls[0] =
		(struct pollfd){ .fd = full ? -1 : p->from, .events = POLLIN };
	/*
	 * Without bytes only the loss of the reader counts; a pty whose other end
	 * is closed for a time reports a hang-up too.
	 */
	polls[1] = (struct pollfd){ .fd = p->to_is_pty && !filled ? -1 : p->to,
				    .events = filled ? POLLOUT : 0 };
}

/* Reads what fits into the buffer; whether bytes were read. */
static bool fill(struct pump *p)
{
	ssize_t bytes;

	if (p->from < 0 || !has_room(p))
		return false;
	if (p->start == p->end)
		p->start = p->end = 0;
	if (p->end == PUMP_BYTES) {
		memmove(p->data, p->data + p->start, p->end - p->start);
		p->end -= p->start;
		p->start = 0;
	}
	bytes = p->budget_bytes ?
			read(p->from, p->data + p->end,
			     min_u64(PUMP_BYTES - p->end, p->budget_bytes)) :
			0;
	if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) {
		/* After the command's end what is not there will not come. */
		if (p->budget_bytes != UINT64_MAX)
			close_fd(&p->from);
		return false;
	}
	if (bytes <= 0) {
		close_fd(&p->from);
		return false;
	}
	p->end += (size_t)bytes;
	if (p->budget_bytes != UINT64_MAX)
		p->budget_bytes -= (uint64_t)bytes;
	return true;
}

/* Writes what the buffer has; whether bytes were written. */
static bool empty(struct pump *p)
{
	ssize_t bytes;

	if (p->to < 0 || p->start == p->end)
		return false;
	bytes = write(p->to, p->data + p->start, p->end - p->start);
	if (bytes < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (bytes < 0) {
		stop(p);
		return false;
	}
	p->start += (size_t)bytes;
	return bytes > 0;
}

void pump_step(struct pump *p, const struct pollfd polls[2])
{
	bool moved = true;

	/* A pty that hangs up may be opened again. */
	if (!p->to_is_pty && polls[1].fd >= 0 &&
	    polls[1].revents & (POLLERR | POLLHUP | POLLNVAL)) {
		stop(p);
		return;
	}
	for (int round = 0; moved && round < STEP_ROUNDS; round++) {
		moved = fill(p);
		moved = empty(p) || moved;
	}
	end_if_drained(p);
}

void pump_limit(struct pump *p)
{
	int bytes = 0;

	if (p->from < 0)
		return;
	if (isatty(p->from))
		p->budget_bytes = PTY_LEFT_BYTES;
	else
		p->budget_bytes =
			ioctl(p->from, FIONREAD, &bytes) ? 0 : (uint64_t)bytes;
	if (!p->budget_bytes)
		close_fd(&p->from);
	end_if_drained(p);
}

bool pump_is_done(const struct pump *p)
{
	return p->from < 0 && p->to < 0;
}
