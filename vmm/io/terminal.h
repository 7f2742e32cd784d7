/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host side of a guest console: standard input and output. If both are a
 * terminal, it is in raw mode while the guest runs; the mode is restored by
 * terminal_close(), by exit(3), and by a fatal signal (the handler is
 * async-signal-safe). At most one terminal per process is raw.
 *
 * If the input is a terminal, Ctrl-A x leaves and Ctrl-A Ctrl-A (or Ctrl-A a)
 * sends one Ctrl-A; Ctrl-A and any other key sends both. Input from a pipe or a
 * file is passed on unchanged. The program must ignore SIGPIPE, so that a
 * closed output is an error of terminal_write().
 *
 * Owned by the loop thread once the guest runs. The device watches the two
 * descriptors with the event loop and reads only as much as it has room for, so
 * a paste of any size is never dropped.
 */
#ifndef VMM_IO_TERMINAL_H
#define VMM_IO_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct terminal;

struct terminal_config {
	int in_fd, out_fd; /* the caller's; in_fd -1: no input */
	/*
	 * Called when the user types the leave sequence, by the thread that
	 * reads it; must not call terminal functions.
	 */
	void (*leave)(void *ctx);
	void *ctx;
};

/* Does not change the terminal's mode; -errno, logged. */
int terminal_open(struct terminal **terminal,
		  const struct terminal_config *config);

/*
 * Enters or leaves raw mode; no effect unless input and output are a terminal.
 * -errno, logged; -EBUSY if another terminal of the process is raw.
 */
int terminal_raw(struct terminal *terminal, bool raw);

/* Restores the mode and frees; read-ahead bytes are dropped. NULL is fine. */
void terminal_close(struct terminal *terminal);

/*
 * Descriptors to watch for input and output; -1: none. If epoll refuses one
 * (-EPERM: a regular file, /dev/null), it is always ready.
 */
int terminal_in_fd(const struct terminal *terminal);
int terminal_out_fd(const struct terminal *terminal);

/*
 * Reads at most @room bytes of input for the guest. Returns their number (0:
 * none now, or all were escape sequences), -ENODATA at the end of input, or
 * -errno.
 */
ssize_t terminal_read(struct terminal *terminal, uint8_t *buf, size_t room);

/* The descriptor on which the leave sequence arrives; -1: none. */
int terminal_leave_fd(const struct terminal *terminal);

/*
 * For another thread, while no thread calls terminal_read(): reads input so that
 * the leave sequence works, and keeps at most 4096 other bytes for
 * terminal_read(). With @drop more are dropped, otherwise they stay unread. Call
 * it when terminal_leave_fd() is readable.
 */
void terminal_read_ahead(struct terminal *terminal, bool drop);

/*
 * terminal_read_ahead() calls @wake when it has kept bytes, on its own thread, to
 * cause a terminal_read() on the other; must not call terminal functions. NULL:
 * nothing is called. @ctx must be valid until @wake is replaced.
 */
void terminal_set_wake(struct terminal *terminal, void (*wake)(void *ctx),
		       void *ctx);

/*
 * Writes without blocking; returns the number of bytes written, 0 if the reader
 * is slow, -errno if it is gone.
 */
ssize_t terminal_write(struct terminal *terminal, const uint8_t *buf,
		       size_t len);

/* The current columns and rows; false, and zeros, if it is not a terminal. */
bool terminal_size(const struct terminal *terminal, uint16_t *cols,
		   uint16_t *rows);

/*
 * A descriptor that becomes readable when the window size may have changed
 * (SIGWINCH), until terminal_size_seen(); -1: none. terminal_open() blocks the
 * signal in its thread permanently; all threads must block it.
 */
int terminal_size_fd(const struct terminal *terminal);
void terminal_size_seen(struct terminal *terminal);

#endif
