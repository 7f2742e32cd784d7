/* SPDX-License-Identifier: BSD-2-Clause */
/* The outcome of `thaw exec', for people and for programs. */
#include "vmm/cli/exec_report.h"

#include <errno.h>
#include <string.h>

#include "vmm/base/json.h"
#include "vmm/base/log.h"
#include "vmm/cli/exit.h"
#include "vmm/vm/vm.h"

/* The status of a command that was not started, as a shell has it. */
static int not_started_code(const struct exec_outcome *o)
{
	if (o->before_exec)
		return EXIT_EXEC_FAILED;
	switch (o->error) {
	case ENOENT:
	case ENOTDIR:
		return EXIT_EXEC_NOT_FOUND;
	case ENOMEM:
	case EAGAIN:
	case EMFILE:
	case ENFILE:
		return EXIT_EXEC_FAILED;
	default:
		return EXIT_EXEC_NOT_EXECUTABLE;
	}
}

int exec_exit_code(const struct exec_outcome *o)
{
	switch (o->kind) {
	case EXEC_EXITED:
		return (int)o->status;
	case EXEC_KILLED:
	case EXEC_SIGNALLED:
		return EXIT_SIGNAL + (int)o->signal;
	case EXEC_NOT_STARTED:
		return not_started_code(o);
	case EXEC_TIMED_OUT:
		return EXIT_EXEC_TIMED_OUT;
	case EXEC_HUNG:
		return EXIT_EXEC_HUNG;
	case EXEC_PANICKED:
		return EXIT_EXEC_PANICKED;
	case EXEC_RESET:
		return EXIT_EXEC_RESET;
	case EXEC_ENDED:
		return EXIT_EXEC_ENDED;
	case EXEC_NONE:
	case EXEC_FAILED:
	case EXEC_KINDS:
		break;
	}
	return EXIT_EXEC_FAILED;
}

int exec_end_code(const struct vm_end *end)
{
	const struct exec_outcome o = { .kind = exec_end_kind(end->kind),
					.signal = (unsigned int)end->detail };

	return exec_exit_code(&o);
}

/* Whether the guest's console may say why it ended. */
static bool console_matters(enum exec_kind kind)
{
	return kind != EXEC_EXITED && kind != EXEC_KILLED &&
	       kind != EXEC_NOT_STARTED && kind != EXEC_SIGNALLED;
}

/* "WHAT: REASON", or "WHAT" without an error number. */
static void log_reason(const char *prefix, const char *what, int error)
{
	if (error)
		log_errno(error, "%s%s", prefix, what);
	else if (*what)
		log_error("%s%s", prefix, what);
}

void exec_report(const struct exec_outcome *o, const char *command,
		 bool console_shown)
{
	if (console_matters(o->kind) && o->console && !console_shown)
		fputs(o->console, stderr);
	switch (o->kind) {
	case EXEC_NOT_STARTED:
		log_reason("", *o->what ? o->what : command, o->error);
		break;
	case EXEC_TIMED_OUT:
		log_error("%s: timed out: not finished within --timeout",
			  command);
		break;
	case EXEC_HUNG:
		log_error("guest hung: no message from its init within "
			  "--hang-timeout");
		break;
	case EXEC_PANICKED:
		log_error("guest kernel panicked: %s", o->what);
		break;
	case EXEC_RESET:
		log_error("guest reset or crashed before the command ended");
		break;
	case EXEC_ENDED:
		log_error("guest %s before the command ended",
			  *o->what ? o->what : "powered off");
		break;
	case EXEC_FAILED:
		log_reason(o->init_failed ? "guest's init: " : "", o->what,
			   o->error);
		break;
	case EXEC_NONE:
	case EXEC_EXITED:
	case EXEC_KILLED:
	case EXEC_SIGNALLED:
	case EXEC_KINDS:
		break;
	}
}

/* A number, or null if the outcome has none. */
static void write_uint(struct json *json, const char *key, bool has,
		       uint64_t value)
{
	if (has)
		json_uint(json, key, value);
	else
		json_null(json, key);
}

/* The lines of the console, one string each. */
static void write_console(struct json *json, char *console)
{
	char *rest = console, *line;

	json_array_begin(json, "console");
	while (console && (line = strsep(&rest, "\n")))
		if (rest)
			json_string(json, NULL, line);
	json_array_end(json);
}

/* In microseconds; null for 0, which was not reached. */
static void write_time(struct json *json, const char *key, uint64_t ns)
{
	write_uint(json, key, ns != 0, ns / 1000);
}

static void write_times(struct json *json, const struct exec_outcome *o,
			uint64_t total_ns)
{
	bool used = o->kind == EXEC_EXITED || o->kind == EXEC_KILLED;

	write_time(json, "entered_us", o->entered_ns);
	write_time(json, "init_us", o->hello_ns);
	write_time(json, "ready_us", o->ready_ns);
	write_time(json, "started_us", o->started_ns);
	write_time(json, "ended_us", o->ended_ns);
	json_uint(json, "total_us", total_ns / 1000);
	write_uint(json, "user_us", used, o->user_us);
	write_uint(json, "system_us", used, o->system_us);
	write_uint(json, "max_rss_kib", used, o->max_rss_kib);
}

int exec_result_write(const struct exec_outcome *o, FILE *to, const char *name,
		      uint64_t total_ns)
{
	bool signal = o->kind == EXEC_KILLED || o->kind == EXEC_SIGNALLED;
	struct json json;
	int r;

	json_init(&json, to, true);
	json_object_begin(&json, NULL);
	json_string(&json, "kind", exec_kind_names[o->kind]);
	json_uint(&json, "code", (uint64_t)exec_exit_code(o));
	write_uint(&json, "signal", signal, o->signal);
	json_bool(&json, "core_dumped", o->core_dumped);
	json_string(&json, "reason", *o->what ? o->what : NULL);
	write_uint(&json, "errno", o->error > 0, (uint64_t)o->error);
	json_bool(&json, "restored", o->restored);
	json_string(&json, "kernel", *o->release ? o->release : NULL);
	write_times(&json, o, total_ns);
	write_console(&json, console_matters(o->kind) ? o->console : NULL);
	json_object_end(&json);
	r = json_finish(&json);
	if (fflush(to) != 0)
		r = -EIO;
	return r < 0 ? log_errno(-r, "--result %s", name) : 0;
}
