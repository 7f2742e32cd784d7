/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `thaw inspect`: collects everything before it prints, so that nothing is on
 * standard output when a snapshot is refused.  Main thread.
 */
#include "vmm/cli/inspect.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/base/option.h"
#include "vmm/cli/exit.h"
#include "vmm/cli/inspection.h"

struct inspect_options {
	bool verify, json;
};

static const struct option rows[] = {
	{ .kind = OPTION_FLAG,
	  .name = "verify",
	  .offset = offsetof(struct inspect_options, verify),
	  .help = "verify all checksums, and the sizes of copies of\n"
		  "disks" },
	{ .kind = OPTION_FLAG,
	  .name = "json",
	  .offset = offsetof(struct inspect_options, json),
	  .help = "print one JSON object" },
};

static const struct option_spec spec = {
	.command = "thaw inspect",
	.operands = "DIR",
	.about = "Show the contents of the snapshot in DIR.",
	.options = rows,
	.option_count = ARRAY_SIZE(rows),
	.operands_min = 1,
	.operands_max = 1,
};

/* The CPU model and features; unknown for another architecture. */
static int look_at_cpu(struct inspection *in)
{
	size_t len = 0;
	FILE *to = open_memstream(&in->features, &len);
	int r;

	if (!to)
		return log_errno(errno, "%s", in->file.path);
	r = vm_describe_cpu(&in->file, in->model, to);
	if (fclose(to) != 0)
		return log_errno(ENOMEM, "%s", in->file.path);
	in->has_cpu = r >= 0;
	return r == -ENOEXEC ? 0 : r;
}

/*
 * The working set.  A snapshot is complete without it, so a bad one, which has
 * been logged, is an error only with @verify.
 */
static int look_at_workingset(struct inspection *in, bool verify)
{
	CLEANUP_FREE uint64_t *pages = NULL;
	int r = snap_workingset_read(&in->file, &pages, &in->workingset_pages);

	in->has_workingset = r >= 0;
	return verify && r < 0 && r != -ENOENT ? r : 0;
}

/* Opens the snapshot and fills *@in. */
static int look(struct inspection *in, const char *path, bool verify)
{
	struct stat st;
	int r = snap_open(&in->file, path, NULL);

	if (r >= 0)
		r = vm_describe(&in->file, &in->machine);
	if (r >= 0)
		r = look_at_cpu(in);
	if (r >= 0)
		r = look_at_workingset(in, verify);
	if (r < 0)
		return r;
	if (fstat(in->file.memory_fd, &st) == 0)
		in->disk_bytes = (uint64_t)st.st_blocks * 512;
	in->file.sum = arch_crc32c;
	r = verify ? snap_check_disks(&in->file) : 0;
	if (verify && r >= 0)
		r = snap_verify(&in->file, NULL, NULL);
	in->verified = verify && r >= 0;
	return r;
}

/* Returns an exit status of exit.h. */
static int inspect(const char *path, const struct inspect_options *options)
{
	CLEANUP_FREE struct inspection *in = calloc(1, sizeof(*in));
	int r = in ? look(in, path, options->verify) :
		     log_errno(ENOMEM, "%s", path);

	if (r >= 0 && options->json)
		inspection_write_json(in);
	else if (r >= 0)
		inspection_print(in);
	if (in) {
		snap_close(&in->file);
		free(in->features);
	}
	return r < 0 ? EXIT_HOST : EXIT_DONE;
}

int inspect_main(int argc, char **argv)
{
	struct inspect_options options = { .verify = false };
	struct option_operands operands;
	int status;

	status = exit_after_options(
		option_parse(&spec, argc, argv, &options, &operands));
	if (status >= 0)
		return status;
	return inspect(operands.values[0], &options);
}
