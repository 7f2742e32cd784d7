/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log. Its state is two words, atomic and process-wide on purpose: the
 * level, and whether the terminal is raw. They carry no data between threads,
 * so relaxed order is enough. Where errors are kept is each thread's own, as is
 * whether it is muted.
 */
#include "vmm/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/clock.h"

#define LINE_BYTES	   1024
#define GUEST_BUDGET_LINES 10
/* Between two lines about the same error. */
#define LOG_RATE_NS (10 * NS_PER_S)

static atomic_int shown_level = LOG_WARN;
static atomic_bool terminal_is_raw;
static _Thread_local char *kept_line;
static _Thread_local bool muted;

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&shown_level, (int)level, memory_order_relaxed);
}

void log_set_raw(bool raw)
{
	atomic_store_explicit(&terminal_is_raw, raw, memory_order_relaxed);
}

/*
 * Writes one line, truncated to LINE_BYTES, by one write(2), and keeps it where it is
 * an error and that is wanted.
 */
static void emit(enum log_level level, const char *format, va_list ap,
		 const char *suffix)
{
	static const char prefix[] = "thaw: ";
	char line[LINE_BYTES];
	size_t room = sizeof(line) - 2, at = sizeof(prefix) - 1;
	int n;

	if (muted)
		return;
	memcpy(line, prefix, at);
	n = vsnprintf(line + at, room - at, format, ap);
	at += n < 0 ? 0 : (size_t)n;
	if (at >= room)
		at = room - 1;
	n = snprintf(line + at, room - at, "%s", suffix);
	at += n < 0 ? 0 : (size_t)n;
	if (at >= room)
		at = room - 1;
	/* Names from a file or a guest may contain control characters. */
	for (size_t i = 0; i < at; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	if (level == LOG_ERROR && kept_line)
		snprintf(kept_line, LOG_KEPT_BYTES, "%.*s",
			 (int)(at - sizeof(prefix) + 1),
			 line + sizeof(prefix) - 1);
	if (atomic_load_explicit(&terminal_is_raw, memory_order_relaxed))
		line[at++] = '\r';
	line[at++] = '\n';
	if (write(STDERR_FILENO, line, at) < 0)
		return; /* standard error is closed */
}

void log_mute(bool mute)
{
	muted = mute;
}

void log_keep(char *line)
{
	kept_line = line;
	if (line)
		*line = '\0';
}

void log_at(enum log_level level, const char *format, ...)
{
	int saved = errno;
	va_list ap;

	va_start(ap, format);
	if ((int)level <=
	    atomic_load_explicit(&shown_level, memory_order_relaxed))
		emit(level, format, ap, "");
	va_end(ap);
	errno = saved;
}

int log_errno(int err, const char *format, ...)
{
	char suffix[160], words[128];
	va_list ap;

	/* The GNU strerror_r() may return its own string, not the buffer. */
	snprintf(suffix, sizeof(suffix), ": %s",
		 strerror_r(err, words, sizeof(words)));
	va_start(ap, format);
	emit(LOG_ERROR, format, ap, suffix);
	va_end(ap);
	return -err;
}

int log_fail(int err, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	emit(LOG_ERROR, format, ap, "");
	va_end(ap);
	return -err;
}

void log_guest(struct log_budget *budget, const char *format, ...)
{
	unsigned int n = atomic_fetch_add_explicit(&budget->used, 1,
						   memory_order_relaxed);
	va_list ap;

	if (n >= GUEST_BUDGET_LINES) {
		/* Keep the count from wrapping to a value within the budget. */
		atomic_store_explicit(&budget->used, GUEST_BUDGET_LINES,
				      memory_order_relaxed);
		return;
	}
	va_start(ap, format);
	emit(LOG_WARN, format, ap,
	     n == GUEST_BUDGET_LINES - 1 ? " (further messages suppressed)" :
					   "");
	va_end(ap);
}

bool log_rate_take(struct log_rate *rate, uint64_t count,
		   char more[LOG_RATE_TEXT_BYTES])
{
	uint64_t now = clock_now_ns(), since = count - rate->logged;

	if (rate->logged && now - rate->logged_ns < LOG_RATE_NS)
		return false;
	more[0] = '\0';
	if (since > 1)
		snprintf(more, LOG_RATE_TEXT_BYTES,
			 " (%llu errors since the last message)",
			 (unsigned long long)since);
	rate->logged = count;
	rate->logged_ns = now;
	return true;
}
