/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One byte stream between a port and a descriptor of the command, with a buffer
 * of fixed size: while it is full, the writer is not read. Nothing here waits;
 * the caller polls.
 *
 *	end of @from		@to is closed after the last byte
 *	@to has no reader	both are closed at once, bytes are dropped
 *
 * So a command whose output nothing reads receives SIGPIPE, and one that does not
 * read its input closes the port.
 */
#ifndef GUEST_INIT_PUMP_H
#define GUEST_INIT_PUMP_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PUMP_BYTES 65536

struct pump {
	int from, to; /* owned; -1: closed */
	bool to_is_pty; /* its end of input is a character */
	uint8_t *data; /* PUMP_BYTES */
	size_t start, end;
	uint64_t budget_bytes; /* bytes that may still be read */
};

/*
 * Takes over the descriptors, which do not block. -1 in one of them: the other is
 * closed too. -ENOMEM: both were closed.
 */
int pump_init(struct pump *p, int from, int to, bool to_is_pty);

/* Closes what is open, and frees the buffer; the pump is done. */
void pump_finish(struct pump *p);

/* What to poll before the next step; a descriptor of -1: nothing. */
void pump_polls(const struct pump *p, struct pollfd polls[2]);

/*
 * Moves bytes after a poll(), until one of the descriptors would block, or enough
 * was moved that other streams should have a turn.
 */
void pump_step(struct pump *p, const struct pollfd polls[2]);

/*
 * The command has ended: what @from holds now is still moved, but nothing that
 * other writers add.
 */
void pump_limit(struct pump *p);

/* Whether nothing is left to be moved. */
bool pump_is_done(const struct pump *p);

#endif
