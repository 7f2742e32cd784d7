/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host side of a guest console: input with its escape sequences, output,
 * and the window size.
 *
 * A struct terminal belongs to one thread at a time, the loop's while the guest
 * runs. While that thread is blocked another thread may read the input, so the
 * input has a lock; the leave callback is called with the lock held.
 */
#include "vmm/io/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/io/raw_mode.h"
#include "vmm/io/stream.h"

#define ESCAPE_BYTE 0x01 /* Ctrl-A */

/* Maximum read-ahead; further input is dropped. */
#define AHEAD_BYTES 4096

struct terminal {
	struct terminal_config config;
	struct stream in, out;
	int size_fd; /* signalfd of SIGWINCH; -1: output is not a terminal */
	bool in_is_tty, is_tty; /* input; both input and output */
	atomic_bool raw; /* in raw mode; the grace thread may restore it */

	/* Guards the fields below, and reads of the input. */
	pthread_mutex_t in_lock;
	bool escape; /* Ctrl-A was read; the next key decides */
	uint8_t ahead[AHEAD_BYTES]; /* read, but not yet by the guest */
	size_t ahead_len;
	void (*wake)(void *ctx); /* for ahead; NULL: none */
	void *wake_ctx;
};

/* Opens a signalfd of SIGWINCH; -1 if unavailable. */
static int open_size_fd(int out_fd)
{
	sigset_t winch;

	if (!isatty(out_fd))
		return -1;
	sigemptyset(&winch);
	sigaddset(&winch, SIGWINCH);
	pthread_sigmask(SIG_BLOCK, &winch, NULL);
	return signalfd(-1, &winch, SFD_CLOEXEC | SFD_NONBLOCK);
}

int terminal_open(struct terminal **terminal,
		  const struct terminal_config *config)
{
	struct terminal *t = calloc(1, sizeof(*t));

	*terminal = NULL;
	if (!t)
		return log_errno(ENOMEM, "console");
	t->config = *config;
	pthread_mutex_init(&t->in_lock, NULL);
	t->in_is_tty = config->in_fd >= 0 && isatty(config->in_fd);
	t->is_tty = t->in_is_tty && isatty(config->out_fd);
	t->size_fd = open_size_fd(config->out_fd);
	stream_open(&t->in, config->in_fd, O_RDONLY);
	stream_open(&t->out, config->out_fd, O_WRONLY);
	/*
	 * epoll watches a descriptor once, but both directions may be needed.
	 */
	if (t->out.fd >= 0 && t->out.fd == t->in.fd) {
		t->out.fd = fcntl(t->in.fd, F_DUPFD_CLOEXEC, 0);
		t->out.owned = t->out.fd >= 0;
	}
	*terminal = t;
	return 0;
}

int terminal_raw(struct terminal *t, bool raw)
{
	int err;

	if (!t->is_tty || atomic_load(&t->raw) == raw)
		return 0;
	if (raw) {
		err = raw_mode_enter(t->config.in_fd);
		if (err)
			return err;
	} else {
		raw_mode_leave();
	}
	atomic_store(&t->raw, raw);
	log_set_raw(raw && isatty(STDERR_FILENO));
	return 0;
}

void terminal_close(struct terminal *t)
{
	if (!t)
		return;
	terminal_raw(t, false);
	stream_close(&t->in);
	stream_close(&t->out);
	if (t->size_fd >= 0)
		close(t->size_fd);
	pthread_mutex_destroy(&t->in_lock);
	free(t);
}

int terminal_in_fd(const struct terminal *t)
{
	return t->in.fd;
}

int terminal_out_fd(const struct terminal *t)
{
	return t->out.fd;
}

/*
 * Removes the escape sequences from @len bytes at @buf, in place; returns the
 * number of bytes left. @buf has room for @len + 1 bytes if a Ctrl-A of an
 * earlier read is pending.
 */
static size_t filter_escapes(struct terminal *t, uint8_t *buf, size_t len,
			     size_t room)
{
	size_t out = 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t key = buf[i];

		if (!t->escape) {
			if (key == ESCAPE_BYTE)
				t->escape = true;
			else
				buf[out++] = key;
			continue;
		}
		t->escape = false;
		if (key == 'x' || key == 'X') {
			if (t->config.leave)
				t->config.leave(t->config.ctx);
		} else if (key == 'a' || key == 'A' || key == ESCAPE_BYTE) {
			buf[out++] = ESCAPE_BYTE;
		} else {
			/*
			 * Ctrl-A and an ordinary key are passed on. If the
			 * Ctrl-A was in an earlier read, the output is one byte
			 * longer than the input, and the rest moves up.
			 */
			if (out == i && len < room) {
				memmove(buf + i + 1, buf + i, len - i);
				len++;
				i++;
			}
			if (out < i)
				buf[out++] = ESCAPE_BYTE;
			buf[out++] = key;
		}
	}
	return out;
}

/* Moves read-ahead bytes to @buf; returns their number. */
static size_t take_ahead(struct terminal *t, uint8_t *buf, size_t room)
{
	size_t n = min_u64(t->ahead_len, room);

	memcpy(buf, t->ahead, n);
	t->ahead_len -= n;
	memmove(t->ahead, t->ahead + n, t->ahead_len);
	return n;
}

/* Reads input for the guest. The lock is held. */
static ssize_t read_input(struct terminal *t, uint8_t *buf, size_t room)
{
	size_t want = t->escape && room > 1 ? room - 1 : room;
	ssize_t n;

	if (t->ahead_len)
		return (ssize_t)take_ahead(t, buf, room);
	n = stream_read(&t->in, buf, want);
	if (n == -EAGAIN)
		return 0;
	/* After a hangup a terminal returns EIO, a socket ECONNRESET. */
	if (n == 0 || n == -EIO || n == -ECONNRESET)
		return -ENODATA;
	if (n < 0 || !t->in_is_tty)
		return n;
	return (ssize_t)filter_escapes(t, buf, (size_t)n, room);
}

ssize_t terminal_read(struct terminal *t, uint8_t *buf, size_t room)
{
	ssize_t n;

	if (t->in.fd < 0)
		return -ENODATA;
	if (!room)
		return 0;
	pthread_mutex_lock(&t->in_lock);
	n = read_input(t, buf, room);
	pthread_mutex_unlock(&t->in_lock);
	return n;
}

int terminal_leave_fd(const struct terminal *t)
{
	return t->in_is_tty && t->config.leave ? t->in.fd : -1;
}

void terminal_set_wake(struct terminal *t, void (*wake)(void *ctx), void *ctx)
{
	pthread_mutex_lock(&t->in_lock);
	t->wake = wake;
	t->wake_ctx = ctx;
	pthread_mutex_unlock(&t->in_lock);
}

void terminal_read_ahead(struct terminal *t, bool drop)
{
	uint8_t keys[256];
	size_t room;
	ssize_t n = 0;

	pthread_mutex_lock(&t->in_lock);
	room = drop ? sizeof(keys) :
		      min_u64(sizeof(keys), sizeof(t->ahead) - t->ahead_len);
	/* Room for a pending Ctrl-A. */
	if (room > 1)
		n = stream_read(&t->in, keys, room - 1);
	if (n > 0) {
		size_t len = filter_escapes(t, keys, (size_t)n, sizeof(keys));

		len = min_u64(len, sizeof(t->ahead) - t->ahead_len);
		memcpy(t->ahead + t->ahead_len, keys, len);
		t->ahead_len += len;
		if (t->ahead_len && t->wake)
			t->wake(t->wake_ctx);
	}
	pthread_mutex_unlock(&t->in_lock);
}

ssize_t terminal_write(struct terminal *t, const uint8_t *buf, size_t len)
{
	ssize_t n;

	if (t->out.fd < 0)
		return (ssize_t)len;
	if (!len)
		return 0;
	n = stream_write(&t->out, buf, len);
	return n == -EAGAIN ? 0 : n;
}

bool terminal_size(const struct terminal *t, uint16_t *cols, uint16_t *rows)
{
	struct winsize size;

	*cols = *rows = 0;
	if (t->out.fd < 0 || ioctl(t->out.fd, TIOCGWINSZ, &size) < 0)
		return false;
	*cols = size.ws_col;
	*rows = size.ws_row;
	return true;
}

int terminal_size_fd(const struct terminal *t)
{
	return t->size_fd;
}

void terminal_size_seen(struct terminal *t)
{
	struct signalfd_siginfo info;

	while (read(t->size_fd, &info, sizeof(info)) == sizeof(info))
		;
}
