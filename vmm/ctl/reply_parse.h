/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parser of a line from the control socket's server: one JSON object (RFC 8259).
 * The input is not trusted.  One thread.
 */
#ifndef VMM_CTL_REPLY_PARSE_H
#define VMM_CTL_REPLY_PARSE_H

#include <stdbool.h>
#include <stdint.h>

/* The members that a client uses; others are skipped. */
struct ctl_reply {
	bool has_ok, ok;
	char *error; /* owned; NULL: none */
	bool has_progress;
	uint64_t pages, of;
};

/*
 * Parses a line, which may end with a newline; -EBADMSG when it is not an object,
 * or a member above has another type.  Free @reply in either case.
 */
int ctl_reply_parse(struct ctl_reply *reply, const char *line);
void ctl_reply_free(struct ctl_reply *reply);

#endif
