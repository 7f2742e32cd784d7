/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw snapshot`: a client of a control socket.  Main thread. */
#include "vmm/cli/snapshot.h"

#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/arch.h"
#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/base/option.h"
#include "vmm/cli/exit.h"
#include "vmm/ctl/ctl.h"
#include "vmm/snap/file.h"
#include "vmm/snap/save.h"

struct snapshot_options {
	bool stop, pause, accept_stale, fsverity, flatten;
	const char *base;
	enum { DISKS_PATH, DISKS_COPY } disks;
	uint64_t rate_bytes_s;
};

static const char *const disks_names[] = { "path", "copy", NULL };

static const struct option rows[] = {
	{ .kind = OPTION_FLAG,
	  .name = "stop",
	  .offset = offsetof(struct snapshot_options, stop),
	  .help = "end the VM after the save, with status 0" },
	{ .kind = OPTION_FLAG,
	  .name = "pause",
	  .offset = offsetof(struct snapshot_options, pause),
	  .help = "pause the guest during the whole save, which\n"
		  "reads its memory only once" },
	{ .kind = OPTION_STRING,
	  .name = "base",
	  .offset = offsetof(struct snapshot_options, base),
	  .metavar = "DIR",
	  .help = "save only what was written since the snapshot\n"
		  "DIR, in the same directory as the new one: the\n"
		  "last save of this VM, or what it was restored\n"
		  "from with --track" },
	{ .kind = OPTION_CHOICE,
	  .name = "disks",
	  .offset = offsetof(struct snapshot_options, disks),
	  .help = "copy: also save the contents of writable disks,\n"
		  "of which each restore then has a private copy;\n"
		  "path: only where the disks are (default: path)",
	  .choices = disks_names },
	{ .kind = OPTION_SIZE,
	  .name = "rate",
	  .offset = offsetof(struct snapshot_options, rate_bytes_s),
	  .metavar = "SIZE",
	  .help = "limit the first pass over memory, and copies of\n"
		  "disks, to SIZE per second, for example 100M",
	  .min = CTL_RATE_MIN_BYTES },
	{ .kind = OPTION_FLAG,
	  .name = "flatten",
	  .offset = offsetof(struct snapshot_options, flatten),
	  .help = "instead: copy the snapshot in the first operand\n"
		  "with its bases to a snapshot that has none" },
	{ .kind = OPTION_FLAG,
	  .name = "accept-stale",
	  .offset = offsetof(struct snapshot_options, accept_stale),
	  .help = "save although the guest holds deleted files of\n"
		  "a share open; they give ESTALE after a restore" },
	{ .kind = OPTION_FLAG,
	  .name = "fsverity",
	  .offset = offsetof(struct snapshot_options, fsverity),
	  .help = "enable fs-verity for the memory file: the host\n"
		  "kernel verifies each page that it reads" },
};

static const struct option_spec spec = {
	.command = "thaw snapshot",
	.operands = "SOCKET|FROM DIR",
	.about =
		"Save the VM whose control socket is SOCKET to the directory "
		"DIR.\nThe guest runs during the save, except for a short "
		"pause at the end; with\n--stop, and where its memory is a "
		"guest_memfd, it is paused during the save.  An\nexisting snapshot is replaced.  "
		"Ctrl-C cancels.",
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

/* Opens the directory that contains @path. */
static int open_parent(const char *path)
{
	CLEANUP_FREE char *parent = strdup(path);

	return parent ? open(dirname(parent), O_PATH | O_CLOEXEC) : -1;
}

/* Whether two paths are of the same directory. */
static bool are_beside(const char *a, const char *b)
{
	CLEANUP_CLOSE int fd_a = open_parent(a), fd_b = open_parent(b);
	struct stat st_a, st_b;

	return fd_a >= 0 && fd_b >= 0 && fstat(fd_a, &st_a) == 0 &&
	       fstat(fd_b, &st_b) == 0 && st_a.st_dev == st_b.st_dev &&
	       st_a.st_ino == st_b.st_ino;
}

/* The option for the VM, on the heap; NULL, logged: the base cannot be one. */
static char *base_option(const char *base, const char *dir)
{
	CLEANUP_FREE char *copy = strdup(base ? base : "");
	const char *name = copy ? basename(copy) : NULL;
	char *option = NULL;

	if (!base)
		return strdup("");
	if (!name || strchr(name, ' ') || !are_beside(base, dir)) {
		log_error(
			"snapshot: --base %s: not a name without spaces in the "
			"same directory as %s",
			base, dir);
		return NULL;
	}
	return asprintf(&option, "--base=%s ", name) < 0 ? NULL : option;
}

/* Returns an exit status of exit.h. */
static int flatten(const char *from, const char *to,
		   const struct snapshot_options *options)
{
	struct snap_file file;
	int r = snap_open(&file, from, NULL);

	file.sum = arch_crc32c;
	if (r == 0) {
		r = snap_flatten(&file, to, options->fsverity);
		snap_close(&file);
	}
	return r < 0 ? EXIT_HOST : EXIT_DONE;
}

/* Has the VM save itself; an exit status of exit.h. */
static int save(const char *socket, const char *dir,
		const struct snapshot_options *options)
{
	bool terminal = isatty(STDERR_FILENO), shown = false;
	const struct ctl_progress progress = { show_progress, &shown };
	/* DIR is made absolute: the VM may have another working directory. */
	CLEANUP_FREE char *here = getcwd(NULL, 0);
	CLEANUP_FREE char *base = base_option(options->base, dir);
	char line[CTL_LINE_BYTES], rate[40] = "";
	int n;

	if (!base)
		return EXIT_USAGE;
	if (options->rate_bytes_s)
		snprintf(rate, sizeof(rate), "--rate=%" PRIu64 "B ",
			 options->rate_bytes_s);
	n = snprintf(line, sizeof(line), "snapshot %s%s%s%s%s%s%s%s%s%s%s",
		     options->stop ? "--stop " : "",
		     options->pause ? "--pause " : "", base,
		     options->disks == DISKS_COPY ? "--disks=copy " : "", rate,
		     options->accept_stale ? "--accept-stale " : "",
		     options->fsverity ? "--fsverity " : "",
		     terminal ? "--progress " : "",
		     *dir == '/' || !here ? "" : here,
		     *dir == '/' || !here ? "" : "/", dir);
	if (n < 0 || (size_t)n >= sizeof(line)) {
		log_error("snapshot: the path is too long");
		return EXIT_USAGE;
	}
	return ctl_ask(socket, line, terminal ? &progress : NULL, stdout) < 0 ?
		       EXIT_HOST :
		       EXIT_DONE;
}

int snapshot_main(int argc, char **argv)
{
	struct snapshot_options options = { .stop = false };
	struct option_operands operands;
	const char *from, *dir;
	int status;

	status = exit_after_options(
		option_parse(&spec, argc, argv, &options, &operands));
	if (status >= 0)
		return status;
	from = operands.values[0];
	dir = operands.values[1];
	if (!*dir) {
		log_error("snapshot: DIR is empty");
		return EXIT_USAGE;
	}
	if (!options.flatten)
		return save(from, dir, &options);
	if (options.stop || options.pause || options.base ||
	    options.disks != DISKS_PATH || options.accept_stale ||
	    options.rate_bytes_s) {
		log_error("snapshot: --flatten takes no option but --fsverity");
		return EXIT_USAGE;
	}
	return flatten(from, dir, &options);
}
