/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The last 64 KiB of a guest's serial console, and whether the kernel panicked
 * according to it.  The guest's bytes are not trusted.  One thread.
 */
#ifndef VMM_EXEC_CONSOLE_LOG_H
#define VMM_EXEC_CONSOLE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONSOLE_LOG_BYTES 65536

/* Bytes of the reason for a panic that are kept. */
#define CONSOLE_LOG_REASON_BYTES 160

/* Zeroed: empty. */
struct console_log {
	char ring[CONSOLE_LOG_BYTES];
	uint64_t count; /* bytes ever added; the next goes to count % size */
	bool panicked;
	uint64_t panic_at; /* count when the first panic's text was complete */
	/* What follows "Kernel panic - not syncing: ", up to the line's end. */
	char reason[CONSOLE_LOG_REASON_BYTES];
	size_t reason_len;
	size_t matched; /* bytes of that text at the end of the log */
	bool in_reason;
};

/* Adds output; carriage returns are dropped. */
void console_log_add(struct console_log *log, const void *bytes, size_t len);

/*
 * The last lines, at most @lines and without empty ones at the end, on the heap;
 * each ends in a newline, and other control characters are replaced.  After a
 * panic all lines from it on, and those before it up to @lines: an oops comes
 * before its panic, and the stack after it.  NULL: no memory.
 */
char *console_log_tail(const struct console_log *log, unsigned int lines);

/* Replaces what is not printable ASCII (but newline and tab) by a '?'. */
void console_log_clean(char *text);

#endif
