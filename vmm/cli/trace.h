/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fault trace as it is read back; vmm/pager/trace.c tells the format.  What
 * is read is hostile.  One thread.
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
	uint64_t memory_bytes; /* of the guest; 0: not told */
};

/* Most faults of a file that are taken in. */
#define TRACE_FAULTS_MAX ((size_t)16 << 20)

/*
 * Reads @path ("-": standard input).  -errno, logged: -EBADMSG with the number
 * of the line that makes no sense.
 */
int trace_read(struct trace *trace, const char *path);
void trace_finish(struct trace *trace);

#endif
