/* SPDX-License-Identifier: BSD-2-Clause */
/* The options of `thaw exec'.  Main thread. */
#include "vmm/cli/exec_options.h"

#include <errno.h>
#include <stddef.h>

#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/cli/machine.h"

static const char *const snapshot_names[] = { "auto", "off", "fresh", NULL };

#define AT(member) offsetof(struct exec_options, member)

static const struct option rows[] = {
	{ .kind = OPTION_HEADING, .help = "Command" },
	{ .kind = OPTION_LIST,
	  .letter = 'e',
	  .name = "env",
	  .offset = AT(env),
	  .metavar = "VAR[=VALUE]",
	  .help = "set a variable, or pass the caller's; repeatable" },
	{ .kind = OPTION_STRING,
	  .name = "user",
	  .offset = AT(user),
	  .metavar = "NAME|UID[:GROUP|GID]",
	  .help = "user and group in the guest (default: the\n"
		  "caller's)" },
	{ .kind = OPTION_STRING,
	  .letter = 'w',
	  .name = "workdir",
	  .offset = AT(workdir),
	  .metavar = "DIR",
	  .help = "working directory (default: the current one,\n"
		  "or / with another root)" },
	{ .kind = OPTION_FLAG,
	  .letter = 't',
	  .name = "tty",
	  .offset = AT(tty),
	  .help = "run on a pty (default: if standard input and\n"
		  "output are a terminal)" },
	{ .kind = OPTION_FLAG,
	  .letter = 'T',
	  .name = "no-tty",
	  .offset = AT(no_tty),
	  .help = "run on pipes" },
	{ .kind = OPTION_DURATION,
	  .name = "timeout",
	  .offset = AT(timeout_ns),
	  .metavar = "DURATION",
	  .help = "limit of the run, in seconds or with a suffix\n"
		  "ms, s, m or h (default: none)" },
	{ .kind = OPTION_DURATION,
	  .name = "hang-timeout",
	  .offset = AT(hang_ns),
	  .metavar = "DURATION",
	  .help = "end the guest if its init is silent for this\n"
		  "long (default: 60s)" },
	{ .kind = OPTION_STRING,
	  .name = "result",
	  .offset = AT(result),
	  .metavar = "FILE",
	  .help = "write the outcome to FILE, as JSON" },
	{ .kind = OPTION_HEADING, .help = "Files" },
	{ .kind = OPTION_STRING,
	  .name = "root",
	  .offset = AT(root),
	  .metavar = "DIR[,...]",
	  .help = "root directory (default: /); the guest's\n"
		  "changes go to a layer in its memory; options\n"
		  "as for --share, ro: no layer" },
	{ .kind = OPTION_LIST,
	  .name = "rw",
	  .offset = AT(rw),
	  .metavar = "DIR[,...]",
	  .help = "directory that the guest may change, at the\n"
		  "same path; options as for --share; repeatable" },
	{ .kind = OPTION_LIST,
	  .name = "share",
	  .offset = AT(shares),
	  .metavar = "DIR[:TAG][,...]",
	  .help = "virtio-fs share, for the command to mount;\n"
		  "see thaw run; repeatable" },
	{ .kind = OPTION_HEADING, .help = "Kernel" },
	{ .kind = OPTION_STRING,
	  .letter = 'k',
	  .name = "kernel",
	  .offset = AT(kernel),
	  .metavar = "FILE",
	  .help = "kernel image (default: the running kernel's)" },
	{ .kind = OPTION_STRING,
	  .name = "kernel-version",
	  .offset = AT(version),
	  .metavar = "VERSION",
	  .help = "an installed kernel, by its release" },
	{ .kind = OPTION_STRING,
	  .name = "modules",
	  .offset = AT(modules),
	  .metavar = "DIR",
	  .help = "its modules: an installed tree or a build tree\n"
		  "(default: /lib/modules/VERSION, or the build\n"
		  "tree of --kernel)" },
	{ .kind = OPTION_STRING,
	  .letter = 'p',
	  .name = "params",
	  .offset = AT(params),
	  .metavar = "TEXT",
	  .help = "additional kernel parameters" },
	{ .kind = OPTION_STRING,
	  .name = "console",
	  .offset = AT(console),
	  .metavar = "FILE|-",
	  .help = "write the guest's kernel log to FILE, or to\n"
		  "standard error" },
	{ .kind = OPTION_CHOICE,
	  .name = "snapshot",
	  .offset = AT(snapshot),
	  .help = "auto: restore the snapshot of an earlier run,\n"
		  "or save one; off: neither; fresh: boot, and\n"
		  "replace it (default: auto)",
	  .choices = snapshot_names },
	{ .kind = OPTION_HEADING, .help = "Machine" },
	MACHINE_OPTION_ROWS(AT(memory_bytes), AT(cpus), 64 * MIB, "1G"),
	NET_EXEC_OPTION_ROW(AT(nets)),
	MEMORY_BACKING_ROW(AT(backing)),
	PAGING_OPTION_ROWS(AT(session.paging), "auto"),
	SESSION_OPTION_ROWS(AT(session)),
};

static const struct option_spec spec = {
	.command = "thaw exec",
	.operands = "[--] COMMAND [ARGUMENT]...",
	.about = "Run a command in a fresh guest, with the files of this host.",
	.options = rows,
	.option_count = ARRAY_SIZE(rows),
	.operands_min = 1,
	.operands_max = UINT32_MAX,
	.operands_last = true,
};

/* Checks options that contradict each other. */
static int check(const struct exec_options *o)
{
	if (o->tty && o->no_tty)
		return log_fail(EINVAL, "--tty and --no-tty: use one of them");
	if (o->kernel && o->version)
		return log_fail(EINVAL, "--kernel and --kernel-version: use "
					"one of them");
	if (!o->hang_ns)
		return log_fail(EINVAL, "--hang-timeout: 0 is too short");
	return 0;
}

enum option_result exec_options_parse(struct exec_options *options, int argc,
				      char **argv,
				      struct option_operands *command)
{
	enum option_result result;

	*options = (struct exec_options){ .memory_bytes = GIB,
					  .cpus = 1,
					  .hang_ns = 60 * NS_PER_S };
	session_options_init(&options->session, PAGER_AUTO);
	result = option_parse(&spec, argc, argv, options, command);
	if (result != OPTION_DONE)
		return result;
	if (check(options) < 0 ||
	    paging_options_parse(&options->session.paging) < 0)
		return OPTION_BAD;
	return OPTION_DONE;
}
