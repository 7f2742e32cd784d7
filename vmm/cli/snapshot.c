/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw snapshot`: a client of a control socket.  Main thread. */
#include "vmm/cli/snapshot.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/base/option.h"
#include "vmm/cli/exit.h"
#include "vmm/ctl/ctl.h"

struct snapshot_options {
	bool stop, accept_stale;
};

static const struct option rows[] = {
	{ .kind = OPTION_FLAG,
	  .name = "stop",
	  .offset = offsetof(struct snapshot_options, stop),
	  .help = "end the VM after the save, with status 0" },
	{ .kind = OPTION_FLAG,
	  .name = "accept-stale",
	  .offset = offsetof(struct snapshot_options, accept_stale),
	  .help = "save although the guest holds deleted files of\n"
		  "a share open; they give ESTALE after a restore" },
};

static const struct option_spec spec = {
	.command = "thaw snapshot",
	.operands = "SOCKET DIR",
	.about = "Save the VM whose control socket is SOCKET to the directory "
		 "DIR.\nThe guest is paused during the save.  An existing "
		 "snapshot is replaced.",
	.options = rows,
	.option_count = ARRAY_SIZE(rows),
	.operands_min = 2,
	.operands_max = 2,
};

/* Shows the progress on one line of the terminal; @of 0 erases it. */
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

/* DIR is made absolute: the VM may have another working directory. */
int snapshot_main(int argc, char **argv)
{
	struct snapshot_options options = { .stop = false };
	bool terminal = isatty(STDERR_FILENO), shown = false;
	const struct ctl_progress progress = { show_progress, &shown };
	struct option_operands operands;
	int status;
	CLEANUP_FREE char *here = getcwd(NULL, 0);
	char line[CTL_LINE_BYTES];
	const char *dir;
	int n;

	status = exit_after_options(
		option_parse(&spec, argc, argv, &options, &operands));
	if (status >= 0)
		return status;
	dir = operands.values[1];
	if (!*dir) {
		log_error("snapshot: DIR is empty");
		return EXIT_USAGE;
	}
	n = snprintf(line, sizeof(line), "snapshot %s%s%s%s%s%s",
		     options.stop ? "--stop " : "",
		     options.accept_stale ? "--accept-stale " : "",
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
