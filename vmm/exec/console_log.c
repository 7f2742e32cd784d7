/* SPDX-License-Identifier: BSD-2-Clause */
/* The ring of a guest's console output, and the search for a panic in it. */
#include "vmm/exec/console_log.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"

static const char panic_text[] = "Kernel panic - not syncing: ";

/* Collects the rest of the first panic's line. */
static void add_to_reason(struct console_log *log, char c)
{
	if (c == '\n') {
		log->in_reason = false;
		console_log_clean(log->reason);
	} else if (log->reason_len < sizeof(log->reason) - 1) {
		log->reason[log->reason_len++] = c;
	}
}

/*
 * Looks for the text of a panic.  Its first byte occurs nowhere else in it, so a
 * mismatch begins again.
 */
static void match(struct console_log *log, char c)
{
	if (log->in_reason)
		add_to_reason(log, c);
	if (log->panicked)
		return;
	log->matched = c == panic_text[log->matched] ? log->matched + 1 :
						       c == panic_text[0];
	if (log->matched < sizeof(panic_text) - 1)
		return;
	log->panicked = log->in_reason = true;
	/* The byte is added next. */
	log->panic_at = log->count + 1;
}

void console_log_add(struct console_log *log, const void *bytes, size_t len)
{
	const char *c = bytes;

	for (; len; len--, c++) {
		if (*c == '\r')
			continue;
		match(log, *c);
		log->ring[log->count++ % CONSOLE_LOG_BYTES] = *c;
	}
}

void console_log_clean(char *text)
{
	for (; *text; text++)
		if ((*text < ' ' || *text > '~') && *text != '\n' &&
		    *text != '\t')
			*text = '?';
}

/* Byte @at of all that was ever added, as it is shown. */
static char byte_at(const struct console_log *log, uint64_t at)
{
	char c = log->ring[at % CONSOLE_LOG_BYTES];

	return c ? c : '?';
}

/* Where the last @lines lines before @end begin, but not before @oldest. */
static uint64_t lines_before(const struct console_log *log, uint64_t oldest,
			     uint64_t end, unsigned int lines)
{
	for (; lines && end > oldest; end--)
		if (byte_at(log, end - 1) == '\n' && --lines == 0)
			break;
	return end;
}

char *console_log_tail(const struct console_log *log, unsigned int lines)
{
	uint64_t oldest = log->count - min_u64(log->count, CONSOLE_LOG_BYTES);
	uint64_t end = log->count, first;
	char *text, *to;

	while (end > oldest && byte_at(log, end - 1) == '\n')
		end--;
	first = lines_before(log, oldest, end, lines);
	if (log->panicked && log->panic_at > oldest)
		first = min_u64(first, lines_before(log, oldest, log->panic_at,
						    lines));
	else if (log->panicked)
		first = oldest;
	text = to = malloc(end - first + 2);
	if (!text)
		return NULL;
	for (uint64_t at = first; at < end; at++)
		*to++ = byte_at(log, at);
	if (end > first)
		*to++ = '\n';
	*to = '\0';
	console_log_clean(text);
	return text;
}
