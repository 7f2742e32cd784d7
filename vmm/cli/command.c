/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of subcommands, `help` and `version`.  Main thread. */
#include "vmm/cli/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/cli/ctl.h"
#include "vmm/cli/exit.h"
#include "vmm/cli/inspect.h"
#include "vmm/cli/plot.h"
#include "vmm/cli/probe.h"
#include "vmm/cli/restore.h"
#include "vmm/cli/run.h"
#include "vmm/cli/snapshot.h"

static const struct command {
	const char *name;
	const char *summary;
	/* argv[0] is the subcommand's name; returns an exit status. */
	int (*main)(int argc, char **argv);
} commands[] = {
	{ "run", "boot a guest in the foreground", run_main },
	{ "restore", "resume a guest from a snapshot", restore_main },
	{ "snapshot", "save a running guest", snapshot_main },
	{ "ctl", "control a running VM", ctl_main },
	{ "inspect", "show the contents of a snapshot", inspect_main },
	{ "plot", "draw a fault trace as an SVG", plot_main },
	{ "probe", "show what this host supports", probe_main },
};

/*
 * Opens /dev/null for each of descriptors 0 to 2 that is closed, so that no file
 * opened later becomes a standard stream.
 */
static void open_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

/* The row of a subcommand, or NULL after an error message. */
static const struct command *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	log_error("%s: no such command; see thaw help", name);
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
	fputs("  help       show this help, or the options of a command\n"
	      "  version    show the version\n",
	      to);
}

/* `thaw help [COMMAND]`: argv[0] is "help". */
static int help(int argc, char **argv)
{
	char option[] = "--help";
	const struct command *command;

	if (argc < 2 || argv[1][0] == '-') {
		print_help(stdout);
		return EXIT_DONE;
	}
	command = find(argv[1]);
	return command ? command->main(2, (char *[]){ argv[1], option, NULL }) :
			 EXIT_USAGE;
}

/* Whether @word is @name, as a command or as a long option. */
static bool is_word(const char *word, const char *name)
{
	return strcmp(word, name) == 0 ||
	       (strncmp(word, "--", 2) == 0 && strcmp(word + 2, name) == 0);
}

static int dispatch(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (is_word(argv[1], "help") || strcmp(argv[1], "-h") == 0)
		return help(argc - 1, argv + 1);
	if (is_word(argv[1], "version") || strcmp(argv[1], "-V") == 0) {
		puts("thaw " THAW_VERSION);
		return EXIT_DONE;
	}
	command = find(argv[1]);
	return command ? command->main(argc - 1, argv + 1) : EXIT_USAGE;
}

int command_main(int argc, char **argv)
{
	int status;

	open_standard_streams();
	status = dispatch(argc, argv);
	errno = 0;
	if (fflush(stdout) != 0 || ferror(stdout)) {
		log_errno(errno ? errno : EIO, "standard output");
		if (status == EXIT_DONE)
			status = EXIT_HOST;
	}
	return status;
}
