/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parses a fault trace.  Every field is checked against its bounds, so what is
 * drawn from it neither overflows nor lies outside of the picture.
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

/* Lines of the writer have at most 80 characters. */
#define LINE_BYTES 256

enum field {
	FIELD_TIME,
	FIELD_VCPU,
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

/* Parses a number from 0 to @max; base 16 needs a prefix 0x. */
static bool read_number(const char *word, int base, uint64_t max, uint64_t *n)
{
	unsigned long long value;
	char *end;

	if (base == 16) {
		if (word[0] != '0' || word[1] != 'x')
			return false;
		word += 2;
	}
	/* strtoull() would accept a sign and blanks. */
	if (!isxdigit((unsigned char)word[0]))
		return false;
	errno = 0;
	value = strtoull(word, &end, base);
	if (errno || *end || value > max)
		return false;
	*n = value;
	return true;
}

/* Parses a time in us, with decimals. */
static bool read_time(const char *word, double *us)
{
	char *end;

	/* strtod() would accept hexadecimal, "inf" and the like. */
	if (!*word || word[strspn(word, "0123456789.")])
		return false;
	*us = strtod(word, &end);
	return end != word && !*end && isfinite(*us) && *us <= TIME_MAX_US;
}

/* Parses a vCPU's number, or "-": none, *@vcpu is -1. */
static bool read_vcpu(const char *word, int *vcpu)
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

/* Splits a line at its blanks; false unless it has FIELDS words. */
static bool split(char *line, char *words[FIELDS])
{
	char *rest = line;

	for (unsigned int i = 0; i < FIELDS; i++)
		words[i] = strsep(&rest, " ");
	return words[FIELDS - 1] && !rest;
}

static bool parse_line(char *line, struct trace_fault *fault)
{
	char *words[FIELDS];
	uint64_t pages;

	if (!split(line, words) ||
	    !read_time(words[FIELD_TIME], &fault->time_us) ||
	    !read_vcpu(words[FIELD_VCPU], &fault->vcpu) ||
	    !read_number(words[FIELD_GPA], 16, GPA_END - 1, &fault->gpa) ||
	    !read_number(words[FIELD_PAGES], 10, PAGER_RUN_PAGES_MAX, &pages) ||
	    !find_cause(words[FIELD_CAUSE], &fault->cause) ||
	    !read_time(words[FIELD_STALL], &fault->stall_us))
		return false;
	fault->pages = (uint32_t)pages;
	return pages > 0 && fault->gpa + pages * PAGE_BYTES <= GPA_END;
}

/* Makes room for one more fault; false at the limit. */
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

/* Parses line @n of @name. */
static int add_line(struct trace *trace, char *line, const char *name,
		    unsigned long n)
{
	char *end = strchr(line, '\n');

	if (!end)
		return log_fail(EBADMSG, "%s: line %lu is truncated", name, n);
	*end = '\0';
	if (n == 1 && strcmp(line, "# thaw fault trace 1") != 0)
		return log_fail(EBADMSG, "%s: not a fault trace", name);
	/* Each boot of a VM begins with a header; times start again. */
	if (line[0] == '#')
		return 0;
	if (!make_room(trace))
		return log_fail(EFBIG, "%s: too many faults", name);
	if (!parse_line(line, &trace->faults[trace->count]))
		return log_fail(EBADMSG, "%s: line %lu is malformed", name, n);
	trace->count++;
	return 0;
}

static int read_lines(struct trace *trace, FILE *file, const char *name)
{
	char line[LINE_BYTES];
	int r = 0;

	for (unsigned long n = 1; r >= 0 && fgets(line, sizeof(line), file);
	     n++) {
		/* Before a truncated line is reported. */
		if (n == 1 && line[0] != '#')
			return log_fail(EBADMSG, "%s: not a fault trace", name);
		r = add_line(trace, line, name, n);
	}
	if (r < 0)
		return r;
	if (ferror(file))
		return log_errno(errno ? errno : EIO, "read %s", name);
	if (!trace->count)
		return log_fail(EBADMSG, "%s: no faults", name);
	return 0;
}

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
