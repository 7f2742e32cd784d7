/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages on standard error: one line per call, prefixed "thaw: "; formats
 * contain no newline. Any thread; a line is written by one write(2), so lines
 * of different threads do not mix.
 *
 * Rule for errors: the function that knows the object logs once and returns
 * -errno; callers pass the error on and log nothing.
 */
#ifndef VMM_BASE_LOG_H
#define VMM_BASE_LOG_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level {
	LOG_ERROR,
	LOG_WARN,
	LOG_INFO, /* with --verbose */
	LOG_DEBUG, /* with --verbose twice */
};

/*
 * Sets the maximum level shown; the default is LOG_WARN. Call before threads
 * start.
 */
void log_set_level(enum log_level level);

/*
 * Sets whether the terminal is in raw mode, so that lines must end in CR LF.
 * Any thread.
 */
void log_set_raw(bool raw);

/*
 * Logs a line at @level; preserves errno. Use log_error() and the others below.
 */
void log_at(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

/*
 * Logs "<message>: <strerror of @err>" as an error and returns -@err, so that
 * return log_errno(errno, "open %s", path); is a complete error path. @err is a
 * positive errno value.
 */
int log_errno(int err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Logs the message as an error and returns -@err, for a reason that strerror()
 * does not describe: log_fail(EINVAL, "%s: not a kernel image", path).
 */
int log_fail(int err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Mutes the calling thread, for what it tries and expects to fail, or ends that:
 * nothing that it logs is shown or kept.
 */
void log_mute(bool mute);

#define LOG_KEPT_BYTES 512

/*
 * Also stores the last error that the calling thread logs, without the prefix, in
 * @line, of LOG_KEPT_BYTES, which begins as ""; NULL ends that.
 */
void log_keep(char *line);

/*
 * A budget of log lines for events that a guest can cause. One per source,
 * zero-initialised; any thread.
 */
struct log_budget {
	atomic_uint used;
};

/*
 * Logs a warning while the budget of ten lines lasts; the tenth line says that
 * further ones are suppressed.
 */
void log_guest(struct log_budget *budget, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * The rate limit of the lines about one kind of error of the host: one in ten
 * seconds. Zero-initialised; one thread at a time.
 */
struct log_rate {
	/* Time of the last line, and the number of errors then. */
	uint64_t logged_ns, logged;
};

#define LOG_RATE_TEXT_BYTES 64

/*
 * Whether the error, by which there have been @count, is to be logged now. Then
 * @more is how many there were since the last line, to be appended to this one;
 * "" if it is the only one.
 */
bool log_rate_take(struct log_rate *rate, uint64_t count,
		   char more[LOG_RATE_TEXT_BYTES]);

#endif
