/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of commands, with `help` and `version`.  Main thread. */
#include "vmm/cli/command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/base/option.h"
#include "vmm/cli/cache.h"
#include "vmm/cli/ctl.h"
#include "vmm/cli/exec.h"
#include "vmm/cli/exit.h"
#include "vmm/cli/inspect.h"
#include "vmm/cli/plot.h"
#include "vmm/cli/probe.h"
#include "vmm/cli/restore.h"
#include "vmm/cli/run.h"
#include "vmm/cli/snapshot.h"
#include "vmm/cli/streams.h"

static int help_main(int argc, char **argv);
static int version_main(int argc, char **argv);

static const struct command {
	const char *name;
	const char *summary;
	/* argv[0] is the subcommand's name; returns an exit status. */
	int (*main)(int argc, char **argv);
} commands[] = {
	{ "exec", "run a command in a fresh guest", exec_main },
	{ "run", "boot a guest in the foreground", run_main },
	{ "restore", "resume a guest from a snapshot", restore_main },
	{ "snapshot", "save a running guest", snapshot_main },
	{ "ctl", "control a running VM", ctl_main },
	{ "inspect", "show the contents of a snapshot", inspect_main },
	{ "plot", "draw a fault trace as an SVG", plot_main },
	{ "cache", "list or clear the snapshots of thaw exec", cache_main },
	{ "probe", "show what this host supports", probe_main },
	{ "help", "show this help, or the options of a command", help_main },
	{ "version", "show the version", version_main },
};

/* The row of a subcommand, or NULL after an error message. */
static const struct command *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	log_error("%s: unknown command; see thaw help", name);
	return NULL;
}

static void print_help(FILE *to)
{
	fputs("usage: thaw COMMAND [OPTION]...\n\n"
	      "A virtual machine monitor for Linux KVM with demand paging of "
	      "guest memory.\n\nCommands:\n",
	      to);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(to, "  %-10s %s\n", commands[i].name,
			commands[i].summary);
}

static int help_main(int argc, char **argv)
{
	static const struct option_spec spec = {
		.command = "thaw help",
		.operands = "[COMMAND]",
		.about = "Show the commands, or the options of COMMAND.",
		.operands_max = 1,
	};
	char option[] = "--help";
	struct option_operands operands;
	const struct command *command;
	char *name;
	int status;

	status = exit_after_options(
		option_parse(&spec, argc, argv, NULL, &operands));
	if (status >= 0)
		return status;
	if (operands.count == 0) {
		print_help(stdout);
		return EXIT_DONE;
	}
	name = operands.values[0];
	command = find(name);
	return command ? command->main(2, (char *[]){ name, option, NULL }) :
			 EXIT_USAGE;
}

static int version_main(int argc, char **argv)
{
	static const struct option_spec spec = {
		.command = "thaw version",
		.about = "Show the version.",
	};
	int status;

	status =
		exit_after_options(option_parse(&spec, argc, argv, NULL, NULL));
	if (status >= 0)
		return status;
	puts("thaw " THAW_VERSION);
	return EXIT_DONE;
}

static int dispatch(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return help_main(argc - 1, argv + 1);
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
		return version_main(argc - 1, argv + 1);
	command = find(argv[1]);
	return command ? command->main(argc - 1, argv + 1) : EXIT_USAGE;
}

int command_main(int argc, char **argv)
{
	int status;

	streams_open();
	status = dispatch(argc, argv);
	errno = 0;
	if (fflush(stdout) != 0 || ferror(stdout)) {
		log_errno(errno ? errno : EIO, "standard output");
		if (status == EXIT_DONE)
			status = EXIT_HOST;
	}
	return status;
}
