/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Transfers on the user's descriptors that never block. O_NONBLOCK is not set
 * on the user's open file descriptions, because the shell and other programs
 * share them.
 *
 * One thread at a time for each direction.
 */
#ifndef VMM_IO_STREAM_H
#define VMM_IO_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

/* How a transfer is kept from blocking. */
enum stream_kind {
	STREAM_OWN, /* reopened with O_NONBLOCK */
	STREAM_FILE, /* a regular file, never blocks */
	STREAM_SOCKET, /* MSG_DONTWAIT */
	STREAM_POLLED, /* poll(2) first */
};

struct stream {
	int fd; /* -1: none */
	bool owned;
	enum stream_kind kind;
};

/*
 * Selects the method for @fd, which stays the caller's. @access: O_RDONLY or
 * O_WRONLY. @fd -1: no stream; its fd is -1.
 */
void stream_open(struct stream *s, int fd, int access);
void stream_close(struct stream *s);

/*
 * readv(2) and writev(2), and read(2) and write(2), with EINTR retried; -EAGAIN if
 * they would block. At least one byte is to be transferred.
 */
ssize_t stream_readv(const struct stream *s, struct iovec *iov,
		     unsigned int count);
ssize_t stream_writev(const struct stream *s, struct iovec *iov,
		      unsigned int count);
ssize_t stream_read(const struct stream *s, void *buf, size_t len);
ssize_t stream_write(const struct stream *s, const void *buf, size_t len);

#endif
