/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a fault trace.  A line is cut into words and each word read whole and
 * held to its bounds; what is drawn from it can then neither overflow nor lie
 * outside of the picture.
 */
#include "vmm/cli/trace.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/pager/pager.h"

/* The writer's lines have 80 characters at most. */
#define LINE_BYTES 256

/* The six fields of a fault. */
enum field {
	FIELD_TIME,
	FIELD_WHO,
	FIELD_GPA,
	FIELD_PAGES,
	FIELD_CAUSE,
	FIELD_STALL,
	FIELDS,
};

/* Guest addresses end below it on both architectures. */
#define GPA_END (UINT64_C(1) << 52)
/* No trace is longer: some thirty years. */
#define TIME_MAX_US 1e15

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
		if (strcmp(word, pager_cause_names[i]) == 0) {
			*cause = (enum pager_cause)i;
			return true;
		}
	}
	return false;
}

/* Reads a number from 0 to @max; in base 16 it begins with 0x. */
static bool read_number(const char *word, int base, uint64_t max, uint64_t *n)
{
	unsigned long long value;
	char *end;

	if (base == 16) {
		if (word[0] != '0' || word[1] != 'x')
			return false;
		word += 2;
	}
	/* strtoull() would take a sign and blanks as well. */
	if (!isxdigit((unsigned char)word[0]))
		return false;
	errno = 0;
	value = strtoull(word, &end, base);
	if (errno || *end || value > max)
		return false;
	*n = value;
	return true;
}

/* Reads a time, which the writer gives with one decimal. */
static bool read_time(const char *word, double *us)
{
	char *end;

	/* strtod() would take hexadecimal, "inf" and the like as well. */
	if (!*word || word[strspn(word, "0123456789.")])
		return false;
	*us = strtod(word, &end);
	return end != word && !*end && isfinite(*us) && *us <= TIME_MAX_US;
}

/* Reads who faulted: a vCPU's number, or "-". */
static bool read_who(const char *word, int *vcpu)
{
	uint64_t n;

	*vcpu = -1;
	if (strcmp(word, "-") == 0)
		return true;
	if (!read_number(word, 10, INT_MAX, &n))
		return false;
	*vcpu = (int)n;
	return true;
}

/* Cuts a line at its blanks; false when it has not just so many words. */
static bool split(char *line, char *words[FIELDS])
{
	char *rest = line;

	for (unsigned int i = 0; i < FIELDS; i++)
		words[i] = strsep(&rest, " ");
	return words[FIELDS - 1] && !rest;
}

/* Reads the fields of one line. */
static bool parse_line(char *line, struct trace_fault *fault)
{
	char *words[FIELDS];
	uint64_t pages;

	if (!split(line, words) ||
	    !read_time(words[FIELD_TIME], &fault->time_us) ||
	    !read_who(words[FIELD_WHO], &fault->vcpu) ||
	    !read_number(words[FIELD_GPA], 16, GPA_END - 1, &fault->gpa) ||
	    !read_number(words[FIELD_PAGES], 10, PAGER_RUN_PAGES_MAX, &pages) ||
	    !find_cause(words[FIELD_CAUSE], &fault->cause) ||
	    !read_time(words[FIELD_STALL], &fault->stall_us))
		return false;
	fault->pages = (uint32_t)pages;
	return pages > 0 && fault->gpa + pages * PAGE_BYTES <= GPA_END;
}

/* Makes room for one more; false when there is none. */
static bool make_room(struct trace *trace)
{
	size_t room = trace->room ? 2 * trace->room : 4096;
	void *p;

	if (trace->count < trace->room)
		return true;
	if (room > TRACE_FAULTS_MAX)
		return false;
	p = reallocarray(trace->faults, room, sizeof(trace->faults[0]));
	if (!p)
		return false;
	trace->faults = p;
	trace->room = room;
	return true;
}

/* Takes line @n of @name in. */
static int add_line(struct trace *trace, char *line, const char *name,
		    unsigned long n)
{
	char *end = strchr(line, '\n');

	if (!end)
		return log_fail(EBADMSG, "%s: line %lu is cut off", name, n);
	*end = '\0';
	if (n == 1 && strcmp(line, "# thaw fault trace 1") != 0)
		return log_fail(EBADMSG, "%s: not a fault trace", name);
	/* A machine that boots again begins again; the times do as well. */
	if (line[0] == '#')
		return 0;
	if (!make_room(trace))
		return log_fail(EFBIG, "%s: more faults than can be drawn",
				name);
	if (!parse_line(line, &trace->faults[trace->count]))
		return log_fail(EBADMSG, "%s: line %lu makes no sense", name,
				n);
	trace->count++;
	return 0;
}

/* Reads all lines of an open file. */
static int read_lines(struct trace *trace, FILE *file, const char *name)
{
	char line[LINE_BYTES];
	int r = 0;

	for (unsigned long n = 1; r >= 0 && fgets(line, sizeof(line), file);
	     n++) {
		/* Of the first line nothing but its own words will do. */
		if (n == 1 && line[0] != '#')
			return log_fail(EBADMSG, "%s: not a fault trace", name);
		r = add_line(trace, line, name, n);
	}
	if (r < 0)
		return r;
	if (ferror(file))
		return log_errno(errno ? errno : EIO, "read %s", name);
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
