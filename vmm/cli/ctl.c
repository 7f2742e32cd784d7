/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `thaw ctl PATH VERB...` and `thaw snapshot PATH DIR`: clients of a control
 * socket.  Main thread.
 */
#include "vmm/cli/ctl.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/base/option.h"
#include "vmm/cli/exit.h"
#include "vmm/ctl/ctl.h"

static const struct option_spec ctl_spec = {
	.command = "thaw ctl",
	.operands = "PATH VERB [ARGUMENT]...",
	.about = "Asks the machine whose control socket is at PATH; the answer "
		 "is JSON.\n"
		 "Verbs: status, stats, pause, resume,\n"
		 "snapshot [--stop] [--progress] DIR, power-button, retry, "
		 "quit.",
	.operands_min = 2,
	.operands_max = OPTION_LIST_MAX,
	.operands_last = true,
};

/* The subcommand: the verb and its arguments make up the line. */
int ctl_main(int argc, char **argv)
{
	struct option_operands operands;
	char line[CTL_LINE_BYTES] = "";
	size_t at = 0;

	switch (option_parse(&ctl_spec, argc, argv, NULL, &operands)) {
	case OPTION_HELPED:
		return EXIT_DONE;
	case OPTION_BAD:
		return EXIT_USAGE;
	case OPTION_DONE:
		break;
	}
	for (unsigned int i = 1; i < operands.count && at < sizeof(line); i++)
		at += (size_t)snprintf(line + at, sizeof(line) - at, "%s%s",
				       i > 1 ? " " : "", operands.values[i]);
	if (at >= sizeof(line)) {
		log_error("ctl: the arguments are too long");
		return EXIT_USAGE;
	}
	return ctl_ask(operands.values[0], line, NULL, stdout) < 0 ? EXIT_HOST :
								     EXIT_DONE;
}

struct snapshot_options {
	bool stop;
};

static const struct option snapshot_rows[] = {
	{ .kind = OPTION_FLAG,
	  .name = "stop",
	  .offset = offsetof(struct snapshot_options, stop),
	  .help = "end the machine instead, with status 0" },
};

static const struct option_spec snapshot_spec = {
	.command = "thaw snapshot",
	.operands = "PATH DIR",
	.about = "Saves the machine whose control socket is at PATH to the "
		 "directory DIR.\nThe guest goes on when it is saved; a "
		 "snapshot that is there is replaced.",
	.options = snapshot_rows,
	.option_count = ARRAY_SIZE(snapshot_rows),
	.operands_min = 2,
	.operands_max = 2,
};

/*
 * Writes how far it is on the one line of a terminal; in the end the line goes,
 * whatever was written on it.
 */
static void show_progress(void *ctx, uint64_t pages, uint64_t of)
{
	bool *shown = ctx;

	if (of)
		fprintf(stderr, "\rsaving: %3" PRIu64 "%% of %" PRIu64 " MiB ",
			pages * 100 / of, of * PAGE_BYTES / MIB);
	else if (*shown)
		fputs("\r\033[K", stderr);
	*shown = true;
	fflush(stderr);
}

/* The subcommand: DIR is ours, so it is made absolute for the machine. */
int snapshot_main(int argc, char **argv)
{
	struct snapshot_options options = { .stop = false };
	bool terminal = isatty(STDERR_FILENO), shown = false;
	const struct ctl_progress progress = { show_progress, &shown };
	struct option_operands operands;
	CLEANUP_FREE char *here = getcwd(NULL, 0);
	char line[CTL_LINE_BYTES];
	const char *dir;
	int n;

	switch (option_parse(&snapshot_spec, argc, argv, &options, &operands)) {
	case OPTION_HELPED:
		return EXIT_DONE;
	case OPTION_BAD:
		return EXIT_USAGE;
	case OPTION_DONE:
		break;
	}
	dir = operands.values[1];
	if (!*dir) {
		log_error("snapshot: DIR is empty");
		return EXIT_USAGE;
	}
	n = snprintf(line, sizeof(line), "snapshot %s%s%s%s%s",
		     options.stop ? "--stop " : "",
		     terminal ? "--progress " : "",
		     *dir == '/' || !here ? "" : here,
		     *dir == '/' || !here ? "" : "/", dir);
	if (n < 0 || (size_t)n >= sizeof(line)) {
		log_error("snapshot: the path is too long");
		return EXIT_USAGE;
	}
	return ctl_ask(operands.values[0], line, terminal ? &progress : NULL,
		       stdout) < 0 ?
		       EXIT_HOST :
		       EXIT_DONE;
}
