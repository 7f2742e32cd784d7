/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of subcommands, nothing else. */
#include "vmm/base/bytes.h"
#include "vmm/cli/command.h"
#include "vmm/cli/ctl.h"
#include "vmm/cli/inspect.h"
#include "vmm/cli/plot.h"
#include "vmm/cli/probe.h"
#include "vmm/cli/restore.h"
#include "vmm/cli/run.h"

static const struct command commands[] = {
	{ "run", "boot a guest and stay with it until it ends", run_main },
	{ "restore", "continue a guest from a snapshot", restore_main },
	{ "snapshot", "save a running guest", snapshot_main },
	{ "ctl", "ask a running guest's machine", ctl_main },
	{ "inspect", "tell what is in a snapshot", inspect_main },
	{ "plot", "draw a fault trace", plot_main },
	{ "probe", "tell what this host can do for a guest", probe_main },
};

/* Runs the subcommand that the command line names. */
int main(int argc, char **argv)
{
	return command_dispatch(commands, ARRAY_SIZE(commands), argc, argv);
}
