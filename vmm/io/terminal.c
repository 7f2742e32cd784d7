/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The user's side of a guest console.
 *
 * Reading and writing never block, and O_NONBLOCK is never set on the user's
 * own open files, because the shell and other programs share them.  Where it is
 * possible the file is opened again through /proc/self/fd, which makes a file
 * of our own; a socket takes MSG_DONTWAIT; for the rest poll(2) is asked before
 * each small transfer.  A regular file keeps the descriptor it came with: it
 * never makes a writer wait, and its position is shared on purpose (">> log").
 *
 * Raw mode must end with the process, however it ends: every signal whose
 * default action is to end it has a handler.  That handler has no context but
 * the process, so what it needs (the descriptor, the mode to restore, the
 * handlers before ours) is the one process-wide variable of this file, and only
 * one terminal of a process is raw at a time.  It is written before the fd that
 * guards it, with release order, and the handler reads it with acquire order.
 * Not covered: SIGKILL, and the signals that the C library keeps for itself.
 *
 * A struct terminal belongs to one thread at a time, the loop's while the guest
 * runs.  While that thread stands still another may read the keys, so the input
 * has a lock; the leave callback is called under it.
 */
#include "vmm/io/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/base/signals.h"

#define ESCAPE_BYTE 0x01 /* Ctrl-A */

/* The most that is written at once where only poll(2) says that it fits. */
#define POLLED_WRITE_BYTES 256

/* What terminal_read_ahead() keeps at most; more than that is lost. */
#define AHEAD_BYTES 4096

/* How a transfer on a descriptor is kept from blocking. */
enum stream_kind {
	STREAM_OWN, /* our own open file, O_NONBLOCK */
	STREAM_FILE, /* a regular file, never blocks */
	STREAM_SOCKET, /* MSG_DONTWAIT */
	STREAM_POLLED, /* poll(2) first */
};

struct stream {
	int fd; /* -1: none */
	bool owned;
	enum stream_kind kind;
};

struct terminal {
	struct terminal_config config;
	struct stream in, out;
	int size_fd; /* signalfd of SIGWINCH; -1: the output is no terminal */
	bool in_is_tty, is_tty; /* the input; both */
	atomic_bool raw; /* we are raw; the grace thread may restore it */

	/* Guards what follows, and reads of the input. */
	pthread_mutex_t in_lock;
	bool escape; /* Ctrl-A was read, the next key decides */
	uint8_t ahead[AHEAD_BYTES]; /* read, and not by the guest */
	size_t ahead_len;
};

/* See the top: what is restored when the process dies. */
static struct {
	atomic_int fd_plus_1; /* 0: no terminal is raw */
	struct termios mode;
	bool installed; /* handlers and atexit; main thread */
	struct sigaction before[NSIG]; /* by signal number */
} rescue;

/* tcsetattr() that works from the background too.  Async-signal-safe. */
static int set_mode(int fd, const struct termios *mode)
{
	sigset_t ttou, before;
	int ret;

	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &ttou, &before);
	do
		ret = tcsetattr(fd, TCSANOW, mode);
	while (ret < 0 && errno == EINTR);
	ret = ret < 0 ? -errno : 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ret;
}

/*
 * Restores the mode if a terminal is raw.  Async-signal-safe.  The descriptor
 * is forgotten last, so that a second thread that dies meanwhile restores too.
 */
static void rescue_now(void)
{
	int fd_plus_1 =
		atomic_load_explicit(&rescue.fd_plus_1, memory_order_acquire);

	if (!fd_plus_1)
		return;
	set_mode(fd_plus_1 - 1, &rescue.mode);
	atomic_store_explicit(&rescue.fd_plus_1, 0, memory_order_relaxed);
}

/*
 * A fatal signal: restores the mode, puts the action that was there before
 * back, and has the signal happen again when this returns: an instruction that
 * faulted runs again, any other signal is raised again.
 */
static void on_fatal(int sig, siginfo_t *info, void *context)
{
	bool again = signal_is_crash(sig) && info->si_code > 0 &&
		     !(sig == SIGBUS && info->si_code == BUS_MCEERR_AO) &&
		     sig != SIGSYS && sig != SIGTRAP;
	int saved = errno;

	(void)context;
	rescue_now();
	sigaction(sig, &rescue.before[sig], NULL);
	if (!again)
		raise(sig);
	errno = saved;
}

/*
 * Puts on_fatal() in the way of @sig.  One that is ignored, or that has another
 * handler, does not end the process and stays as it is, but for a crash, whose
 * handler (a sanitizer's) comes after ours.
 */
static void rescue_catch(int sig)
{
	struct sigaction action = { .sa_sigaction = on_fatal,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct sigaction *before = &rescue.before[sig];

	/* Not before the mode is restored. */
	sigfillset(&action.sa_mask);
	if (sigaction(sig, NULL, before) < 0)
		return; /* the C library's own */
	if (before->sa_handler == SIG_DFL || signal_is_crash(sig))
		sigaction(sig, &action, NULL);
}

/* Installs the handlers and the exit hook, once for the process. */
static int rescue_install(void)
{
	if (rescue.installed)
		return 0;
	if (atexit(rescue_now))
		return -ENOMEM;
	for (int sig = 1; sig < NSIG; sig++) {
		if (signal_is_fatal(sig))
			rescue_catch(sig);
	}
	rescue.installed = true;
	return 0;
}

/* Whether @fd is the master side of a pty, which must not be opened again. */
static bool is_pty_master(int fd)
{
	unsigned int number;

	return ioctl(fd, TIOCGPTN, &number) == 0;
}

/* Finds out how to use @fd without blocking; see the top of the file. */
static void stream_open(struct stream *s, int fd, int access)
{
	char path[32];
	struct stat st;
	int own;

	*s = (struct stream){ .fd = fd, .kind = STREAM_POLLED };
	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	if (S_ISREG(st.st_mode)) {
		s->kind = STREAM_FILE;
		return;
	}
	if (S_ISSOCK(st.st_mode)) {
		s->kind = STREAM_SOCKET;
		return;
	}
	if (!S_ISFIFO(st.st_mode) && (!isatty(fd) || is_pty_master(fd)))
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = open(path, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (own >= 0)
		*s = (struct stream){ own, true, STREAM_OWN };
}

/* Closes what stream_open() opened. */
static void stream_close(struct stream *s)
{
	if (s->owned)
		close(s->fd);
	s->fd = -1;
}

/* Whether poll(2) says that @events, or an end, would not block. */
static bool stream_ready(const struct stream *s, short events)
{
	struct pollfd p = { .fd = s->fd, .events = events };

	return poll(&p, 1, 0) > 0;
}

/* read(2) that does not wait: -EAGAIN instead. */
static ssize_t stream_read(const struct stream *s, void *buf, size_t len)
{
	ssize_t n;

	if (s->kind == STREAM_POLLED && !stream_ready(s, POLLIN))
		return -EAGAIN;
	do {
		if (s->kind == STREAM_SOCKET)
			n = recv(s->fd, buf, len, MSG_DONTWAIT);
		else
			n = read(s->fd, buf, len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* write(2) that does not wait: -EAGAIN instead. */
static ssize_t stream_write(const struct stream *s, const void *buf, size_t len)
{
	ssize_t n;

	if (s->kind == STREAM_POLLED) {
		if (!stream_ready(s, POLLOUT))
			return -EAGAIN;
		len = min_u64(len, POLLED_WRITE_BYTES);
	}
	do {
		if (s->kind == STREAM_SOCKET)
			n = send(s->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		else
			n = write(s->fd, buf, len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* Has changes of the window's size come by a descriptor; -1: they do not. */
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

/* Opens it, in the mode it was found. */
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
	/* An event loop watches a number once; it may need both directions. */
	if (t->out.fd >= 0 && t->out.fd == t->in.fd) {
		t->out.fd = fcntl(t->in.fd, F_DUPFD_CLOEXEC, 0);
		t->out.owned = t->out.fd >= 0;
	}
	*terminal = t;
	return 0;
}

/* Puts the terminal into raw mode. */
static int make_raw(struct terminal *t)
{
	struct termios mode, raw;
	int err = rescue_install();

	if (!err && tcgetattr(t->config.in_fd, &mode) < 0)
		err = -errno;
	if (err)
		return log_errno(-err, "raw mode of the terminal");
	if (atomic_load_explicit(&rescue.fd_plus_1, memory_order_relaxed))
		return log_fail(EBUSY, "another console has the terminal");
	rescue.mode = mode;
	atomic_store_explicit(&rescue.fd_plus_1, t->config.in_fd + 1,
			      memory_order_release);
	raw = mode;
	cfmakeraw(&raw);
	/* In the background this stops us, as it does any such program. */
	do
		err = tcsetattr(t->config.in_fd, TCSANOW, &raw) ? -errno : 0;
	while (err == -EINTR);
	if (err) {
		rescue_now();
		return log_errno(-err, "raw mode of the terminal");
	}
	atomic_store(&t->raw, true);
	log_set_raw(isatty(STDERR_FILENO));
	return 0;
}

/* Raw mode on and off; nothing where it is no terminal. */
int terminal_raw(struct terminal *t, bool raw)
{
	if (!t->is_tty || atomic_load(&t->raw) == raw)
		return 0;
	if (raw)
		return make_raw(t);
	rescue_now();
	atomic_store(&t->raw, false);
	log_set_raw(false);
	return 0;
}

/* Restores the mode and frees. */
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

/* The descriptor to watch for input. */
int terminal_in_fd(const struct terminal *t)
{
	return t->in.fd;
}

/* The descriptor to watch for output. */
int terminal_out_fd(const struct terminal *t)
{
	return t->out.fd;
}

/*
 * Takes the escape sequences out of @len bytes at @buf, in place; how many
 * bytes are left.  @buf has room for one byte more than @len when a Ctrl-A of
 * an earlier read is undecided.
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
			 * Ctrl-A and an ordinary key mean themselves.  When the
			 * Ctrl-A came with an earlier read this is one byte
			 * more than was read, and moves the rest up.
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

/* Takes what was read ahead; how much. */
static size_t take_ahead(struct terminal *t, uint8_t *buf, size_t room)
{
	size_t n = min_u64(t->ahead_len, room);

	memcpy(buf, t->ahead, n);
	t->ahead_len -= n;
	memmove(t->ahead, t->ahead + n, t->ahead_len);
	return n;
}

/* Reads what is for the guest; the lock is held. */
static ssize_t read_input(struct terminal *t, uint8_t *buf, size_t room)
{
	size_t want = t->escape && room > 1 ? room - 1 : room;
	ssize_t n;

	if (t->ahead_len)
		return (ssize_t)take_ahead(t, buf, room);
	n = stream_read(&t->in, buf, want);
	if (n == -EAGAIN)
		return 0;
	/* A terminal that hung up says EIO, a socket ECONNRESET. */
	if (n == 0 || n == -EIO || n == -ECONNRESET)
		return -ENODATA;
	if (n < 0 || !t->in_is_tty)
		return n;
	return (ssize_t)filter_escapes(t, buf, (size_t)n, room);
}

/* Reads what is for the guest. */
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

/* The descriptor that the leave key comes by. */
int terminal_leave_fd(const struct terminal *t)
{
	return t->in_is_tty && t->config.leave ? t->in.fd : -1;
}

/* Reads keys for the one that is for us, and keeps the others. */
void terminal_read_ahead(struct terminal *t)
{
	uint8_t keys[256];
	ssize_t n;

	pthread_mutex_lock(&t->in_lock);
	/* Room for a Ctrl-A of before. */
	n = stream_read(&t->in, keys, sizeof(keys) - 1);
	if (n > 0) {
		size_t len = filter_escapes(t, keys, (size_t)n, sizeof(keys));

		len = min_u64(len, sizeof(t->ahead) - t->ahead_len);
		memcpy(t->ahead + t->ahead_len, keys, len);
		t->ahead_len += len;
	}
	pthread_mutex_unlock(&t->in_lock);
}

/* Writes what fits now. */
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

/* Columns and rows now. */
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

/* What to watch for changes of the size. */
int terminal_size_fd(const struct terminal *t)
{
	return t->size_fd;
}

/* The change that was announced is taken note of. */
void terminal_size_seen(struct terminal *t)
{
	struct signalfd_siginfo info;

	while (read(t->size_fd, &info, sizeof(info)) == sizeof(info))
		;
}
