/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What thaw says on standard error: one line per call, prefixed "thaw: ", with
 * no newline in the format.  Any thread; a line is written by one write(2), so
 * lines of two threads do not mix.
 *
 * The rule for errors: the function that knows the noun logs once and returns
 * -errno; callers pass it on and say nothing.
 */
#ifndef VMM_BASE_LOG_H
#define VMM_BASE_LOG_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>

enum log_level {
	LOG_ERROR,
	LOG_WARN,
	LOG_INFO, /* with --verbose */
	LOG_DEBUG, /* with --verbose twice */
};

/* Sets what is shown; the default is LOG_WARN.  Before threads start. */
void log_set_level(enum log_level level);

/*
 * Says whether the terminal is in raw mode, so that a line must end in CR LF.
 * Any thread.
 */
void log_set_raw(bool raw);

/* Logs a line at @level; keeps errno.  log_error() and kin are its names. */
void log_at(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

/*
 * Logs "<message>: <words of @err>" as an error and returns -@err, so that
 *
 *	return log_errno(errno, "open %s", path);
 *
 * is a whole error path.  @err is a positive errno value.
 */
int log_errno(int err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Logs the message as an error and returns -@err, for a reason that strerror
 * does not tell: log_fail(EINVAL, "%s: not a kernel image", path).
 */
int log_fail(int err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * A budget of log lines for things that a guest can provoke.  One per source,
 * zero-initialised; any thread.
 */
struct log_budget {
	atomic_uint used;
};

/*
 * Logs a warning while the budget of ten lines lasts; the tenth says that more
 * are not shown.
 */
void log_guest(struct log_budget *budget, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
