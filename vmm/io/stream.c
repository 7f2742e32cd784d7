/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Transfers that never block. If possible the file is reopened through
 * /proc/self/fd, for an open file description of our own; a socket uses
 * MSG_DONTWAIT; otherwise poll(2) precedes each small transfer. A regular file
 * keeps its descriptor: writes to it never block, and its position is shared on
 * purpose (">> log").
 */
#include "vmm/io/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/bytes.h"

/*
 * The largest write after poll(2), which does not report the available space.
 */
#define POLLED_WRITE_BYTES 256

/* Whether @fd is a pty master, which cannot be reopened. */
static bool is_pty_master(int fd)
{
	unsigned int number;

	return ioctl(fd, TIOCGPTN, &number) == 0;
}

void stream_open(struct stream *s, int fd, int access)
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

void stream_close(struct stream *s)
{
	if (s->owned)
		close(s->fd);
	s->fd = -1;
}

/* True if poll(2) reports @events, a hangup or an error. */
static bool stream_ready(const struct stream *s, short events)
{
	struct pollfd p = { .fd = s->fd, .events = events };

	return poll(&p, 1, 0) > 0;
}

ssize_t stream_readv(const struct stream *s, struct iovec *iov,
		     unsigned int count)
{
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = count };
	ssize_t n;

	if (s->kind == STREAM_POLLED && !stream_ready(s, POLLIN))
		return -EAGAIN;
	do {
		if (s->kind == STREAM_SOCKET)
			n = recvmsg(s->fd, &message, MSG_DONTWAIT);
		else
			n = readv(s->fd, iov, (int)count);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t stream_writev(const struct stream *s, struct iovec *iov,
		      unsigned int count)
{
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = count };
	struct iovec small;
	ssize_t n;

	if (s->kind == STREAM_POLLED) {
		if (!stream_ready(s, POLLOUT))
			return -EAGAIN;
		small.iov_base = iov->iov_base;
		small.iov_len = min_u64(iov->iov_len, POLLED_WRITE_BYTES);
		iov = &small;
		count = 1;
	}
	do {
		if (s->kind == STREAM_SOCKET)
			n = sendmsg(s->fd, &message,
				    MSG_DONTWAIT | MSG_NOSIGNAL);
		else
			n = writev(s->fd, iov, (int)count);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t stream_read(const struct stream *s, void *buf, size_t len)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };

	return stream_readv(s, &iov, 1);
}

ssize_t stream_write(const struct stream *s, const void *buf, size_t len)
{
	union {
		const void *from;
		void *base;
	} any = { .from = buf };
	struct iovec iov = { .iov_base = any.base, .iov_len = len };

	return stream_writev(s, &iov, 1);
}
