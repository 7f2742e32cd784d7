/* SPDX-License-Identifier: BSD-2-Clause */
/* Why the init cannot go on, for FAILED and for the kernel's log. */
#ifndef GUEST_INIT_FAILURE_H
#define GUEST_INIT_FAILURE_H

struct failure {
	char what[256]; /* "mount /proc" */
	int error; /* errno; 0: none */
};

/* Stores the failure; returns -@error. */
int failure_set(struct failure *f, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Writes the failure to the kernel's log, which the host can show. */
void failure_log(const struct failure *f);

#endif
