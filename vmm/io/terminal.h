/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The user's side of a guest console: standard input and output.
 *
 * When both are a terminal it is put into raw mode while the guest runs, and
 * restored on every way out: terminal_close(), exit(3), and a fatal signal of
 * our own (the handler uses only what signal-safety(7) allows).  Only one
 * terminal of a process can be raw at a time.
 *
 * Where the input is a terminal, Ctrl-A x leaves and Ctrl-A Ctrl-A (or
 * Ctrl-A a) sends one Ctrl-A; Ctrl-A and another key send both.  Input from a
 * pipe or a file is passed on as it is.
 *
 * The program must ignore SIGPIPE, so that a reader that went away is an error
 * of terminal_write().
 *
 * Owned by the loop thread once the guest runs.  The device watches the two
 * descriptors with the event loop and reads only as much as it has room for,
 * so a paste of any size is never dropped.
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
	 * reads it; must not call back.
	 */
	void (*leave)(void *ctx);
	void *ctx;
};

/* Opens it, in the mode it was found; -errno, logged. */
int terminal_open(struct terminal **terminal,
		  const struct terminal_config *config);

/*
 * Raw mode on and off; nothing unless input and output are a terminal.
 * -errno, logged; -EBUSY when another terminal of the process is raw.
 */
int terminal_raw(struct terminal *terminal, bool raw);

/* Restores the mode and frees; what was read ahead is lost.  NULL is fine. */
void terminal_close(struct terminal *terminal);

/*
 * Descriptors to watch for input and output; -1 where there is none.  epoll
 * may refuse them (-EPERM: a regular file, /dev/null), they are ready then.
 */
int terminal_in_fd(const struct terminal *terminal);
int terminal_out_fd(const struct terminal *terminal);

/*
 * Reads at most @room bytes that are for the guest.  How many (0: nothing now,
 * or all of it was an escape sequence), -ENODATA at the end of input, -errno.
 */
ssize_t terminal_read(struct terminal *terminal, uint8_t *buf, size_t room);

/* The descriptor that the leave sequence comes by; -1: there is none. */
int terminal_leave_fd(const struct terminal *terminal);

/*
 * For another thread, while the one of terminal_read() stands still: reads what
 * was typed, so that the leave sequence works, and keeps the rest, 4096 bytes at
 * most, for terminal_read(), which has it when more is typed.  To be called when
 * terminal_leave_fd() can be read.
 */
void terminal_read_ahead(struct terminal *terminal);

/*
 * Writes without blocking; how many bytes were taken, 0 when the reader is
 * slow, -errno when it is gone.
 */
ssize_t terminal_write(struct terminal *terminal, const uint8_t *buf,
		       size_t len);

/* Columns and rows now; false, and zeros, when it is no terminal. */
bool terminal_size(const struct terminal *terminal, uint16_t *cols,
		   uint16_t *rows);

/*
 * A descriptor that is readable when the size may have changed (SIGWINCH), until
 * terminal_size_seen(); -1 when there is none.  terminal_open() blocks the
 * signal in its thread for good; all threads must have it blocked.
 */
int terminal_size_fd(const struct terminal *terminal);
void terminal_size_seen(struct terminal *terminal);

#endif
