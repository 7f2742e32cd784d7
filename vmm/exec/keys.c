/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keys of the terminal, to the pipe that the guest's stdin port reads.  While the
 * guest takes none, some are read ahead, so that Ctrl-A x works.  Thread `exec'.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/exec/session_private.h"
#include "vmm/io/terminal.h"

/* Whether the terminal may still have keys for the guest. */
static bool is_open(const struct exec_session *s)
{
	return s->config.terminal && s->config.keys_fd >= 0 &&
	       s->step >= STEP_READY;
}

short exec_keys_in_events(const struct exec_session *s)
{
	return is_open(s) && !s->keys_len ? POLLIN : 0;
}

short exec_keys_out_events(const struct exec_session *s)
{
	return is_open(s) && s->keys_len ? POLLOUT : 0;
}

/* The input or its reader has ended; the guest sees the end of its stdin. */
static void end_keys(struct exec_session *s)
{
	close_fd(&s->config.keys_fd);
	s->keys_len = 0;
}

static void write_keys(struct exec_session *s)
{
	ssize_t n = write(s->config.keys_fd, s->keys + s->keys_at, s->keys_len);

	if (n > 0) {
		s->keys_at += (size_t)n;
		s->keys_len -= (size_t)n;
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		end_keys(s);
	}
}

void exec_keys_pump(struct exec_session *s, bool readable)
{
	ssize_t n;

	if (!is_open(s))
		return;
	if (s->keys_len)
		write_keys(s);
	if (!is_open(s))
		return;
	if (s->keys_len) {
		terminal_read_ahead(s->config.terminal, false);
		return;
	}
	if (!readable)
		return;
	n = terminal_read(s->config.terminal, s->keys, sizeof(s->keys));
	if (n < 0) {
		end_keys(s);
		return;
	}
	s->keys_at = 0;
	s->keys_len = (size_t)n;
	if (n)
		write_keys(s);
}
