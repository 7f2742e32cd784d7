/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a machine says over its control socket, as its client reads it: one JSON
 * object (RFC 8259) a line.  The other side is not trusted.  One thread.
 */
#ifndef VMM_CTL_REPLY_PARSE_H
#define VMM_CTL_REPLY_PARSE_H

#include <stdbool.h>
#include <stdint.h>

/* The members that matter to a client; others are passed over. */
struct ctl_reply {
	bool has_ok, ok;
	char *error; /* owned; NULL: none */
	bool has_progress;
	uint64_t pages, of;
};

/*
 * Reads a line, which may end with a newline; -EBADMSG when it is no object, or
 * a member that matters is of another type.  Free the answer in either case.
 */
int ctl_reply_parse(struct ctl_reply *reply, const char *line);
void ctl_reply_free(struct ctl_reply *reply);

#endif
