/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a fault trace. */
#include "vmm/cli/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"

/* Frees it; a zeroed one is fine. */
void trace_finish(struct trace *trace)
{
	free(trace->faults);
	*trace = (struct trace){ 0 };
}

/* The cause of that name; false when there is none. */
static bool find_cause(const char *word, enum pager_cause *cause)
{
	for (unsigned int i = 0; i < PAGER_CAUSES; i++) {
		if (strcmp(word, pager_cause_words[i]) == 0) {
			*cause = (enum pager_cause)i;
			return true;
		}
	}
	return false;
}

/* Reads the fields of one line. */
static bool parse_line(const char *line, struct trace_fault *fault)
{
	char who[12], cause[16];
	int end = 0;

	if (sscanf(line, "%lf %11s %" SCNx64 " %" SCNu32 " %15s %lf %n",
		   &fault->time_us, who, &fault->gpa, &fault->pages, cause,
		   &fault->stall_us, &end) != 6 ||
	    line[end] != '\0')
		return false;
	fault->vcpu = strcmp(who, "-") == 0 ? -1 : atoi(who);
	return isfinite(fault->time_us) && fault->time_us >= 0 &&
	       isfinite(fault->stall_us) && fault->stall_us >= 0 &&
	       find_cause(cause, &fault->cause);
}

/* Takes one line in; false when it makes no sense. */
static bool add_line(struct trace *trace, const char *line)
{
	if (line[0] == '#') {
		sscanf(line, "# memory %" SCNu64, &trace->memory_bytes);
		return true;
	}
	if (trace->count == trace->room) {
		size_t room = trace->room ? 2 * trace->room : 4096;
		void *p = room > TRACE_FAULTS_MAX ?
				  NULL :
				  reallocarray(trace->faults, room,
					       sizeof(trace->faults[0]));

		if (!p)
			return false;
		trace->faults = p;
		trace->room = room;
	}
	return parse_line(line, &trace->faults[trace->count++]);
}

/* Reads all lines of an open file. */
static int read_lines(struct trace *trace, FILE *file, const char *name)
{
	CLEANUP_FREE char *line = NULL;
	size_t room = 0;

	for (unsigned long n = 1; getline(&line, &room, file) > 0; n++) {
		if (n == 1 && strcmp(line, "# thaw fault trace 1\n") != 0)
			return log_fail(EBADMSG, "%s: not a fault trace", name);
		if (!add_line(trace, line))
			return log_fail(EBADMSG, "%s: line %lu makes no sense",
					name, n);
	}
	if (ferror(file))
		return log_errno(EIO, "read %s", name);
	if (!trace->count)
		return log_fail(EBADMSG, "%s: no fault in it", name);
	return 0;
}

/* Reads a trace. */
int trace_read(struct trace *trace, const char *path)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	int r;

	*trace = (struct trace){ 0 };
	if (!file)
		return log_errno(errno, "open %s", path);
	r = read_lines(trace, file, path);
	if (file != stdin)
		fclose(file);
	if (r < 0)
		trace_finish(trace);
	return r;
}
