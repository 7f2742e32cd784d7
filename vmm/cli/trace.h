/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads a fault trace; vmm/pager/record.c documents the format.  The file is
 * hostile.  One thread.
 */
#ifndef VMM_CLI_TRACE_H
#define VMM_CLI_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/pager/stats.h"

struct trace_fault {
	double time_us; /* to the end of the stall */
	double stall_us;
	uint64_t gpa;
	uint32_t pages;
	int vcpu; /* -1: none */
	enum pager_cause cause;
};

struct trace {
	struct trace_fault *faults; /* owned */
	size_t count, room;
};

/* Limit of the faults in a file. */
#define TRACE_FAULTS_MAX ((size_t)16 << 20)

/*
 * Reads @path ("-": standard input).  -errno, logged: -EBADMSG for a malformed
 * trace, -EFBIG for too many faults.  Each fault has 1 to PAGER_RUN_PAGES_MAX
 * pages that end below 2^52, and times of up to 10^15 us.
 */
int trace_read(struct trace *trace, const char *path);
void trace_finish(struct trace *trace);

#endif
