/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a machine says over its control socket, as its client reads it: one JSON
 * object (RFC 8259) a line.  The other side is not trusted.  One thread.
 */
#ifndef VMM_CTL_ANSWER_H
#define VMM_CTL_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

/* The members that matter to a client; others are passed over. */
struct ctl_answer {
	bool has_ok, ok;
	char *error; /* owned; NULL: none */
	bool has_progress;
	uint64_t pages, of;
};

/*
 * Reads a line, which may end with a newline; -EBADMSG when it is no object, or
 * a member that matters is of another type.  Free the answer in either case.
 */
int ctl_answer_parse(struct ctl_answer *answer, const char *line);
void ctl_answer_free(struct ctl_answer *answer);

#endif
