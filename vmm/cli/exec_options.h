/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The options of `thaw exec`, and what they ask the guest's init for.  Main
 * thread.
 */
#ifndef VMM_CLI_EXEC_OPTIONS_H
#define VMM_CLI_EXEC_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "guest/init/protocol.h"
#include "vmm/base/option.h"
#include "vmm/cli/net.h"
#include "vmm/cli/session.h"
#include "vmm/cli/share.h"

/* --snapshot: whether a run starts from a snapshot of an earlier one. */
enum exec_snapshot {
	EXEC_SNAPSHOT_AUTO, /* from one that exists; otherwise it saves one */
	EXEC_SNAPSHOT_OFF,
	EXEC_SNAPSHOT_FRESH, /* it replaces the one that exists */
};

struct exec_options {
	const char *kernel, *version, *modules, *params;
	const char *root, *workdir, *user, *console, *result;
	struct option_list rw, shares, env, nets;
	uint64_t memory_bytes, timeout_ns, hang_ns;
	unsigned int cpus;
	enum memory_backing backing;
	enum exec_snapshot snapshot;
	bool tty, no_tty;
	struct session_options session;
};

/* What the init is asked for.  Zeroed: empty. */
struct exec_task {
	struct shares shares; /* root first, then --rw, then --share */
	struct nets nets; /* none, or one */
	struct setup setup;
	struct setup_bind binds[VM_SHARES_MAX];
	struct request request;
	bool pty;
};

/*
 * Parses the command line of `thaw exec'; @command, like all strings, refers to
 * @argv.  OPTION_BAD: a usage error, logged.
 */
enum option_result exec_options_parse(struct exec_options *options, int argc,
				      char **argv,
				      struct option_operands *command);

/*
 * Parses the values of --root, --rw, --share and --net.  -errno, logged: a usage error.
 * exec_task_finish() follows in any case.
 */
int exec_task_parse(struct exec_task *task, const struct exec_options *options);

/*
 * Fills in the rest, for the command @argv of @argc strings, which outlives the
 * task.  -errno, logged.
 */
int exec_task_prepare(struct exec_task *task,
		      const struct exec_options *options, char **argv,
		      unsigned int argc);

/* A zeroed task is fine. */
void exec_task_finish(struct exec_task *task);

#endif
