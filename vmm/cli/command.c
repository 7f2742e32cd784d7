/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Choosing a subcommand, and the two that need the table: help and version.
 * Main thread only.
 */
#include "vmm/cli/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/cli/exit.h"

/*
 * Gives descriptors 0 to 2 that are closed to /dev/null, so that no file opened
 * later is taken for a standard stream.
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

/* The row of a name, or NULL. */
static const struct command *find(const struct command *commands, size_t count,
				  const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* Writes the list of subcommands. */
static void print_help(FILE *to, const struct command *commands, size_t count)
{
	fputs("usage: thaw COMMAND [OPTION]...\n\n"
	      "A virtual machine monitor for Linux KVM whose guests' memory "
	      "can arrive\nwhen it is touched.\n\nCommands:\n",
	      to);
	for (size_t i = 0; i < count; i++)
		fprintf(to, "  %-10s %s\n", commands[i].name,
			commands[i].summary);
	fputs("  help       show this, or with a command's name its options\n"
	      "  version    show the version\n",
	      to);
}

/* `thaw help [COMMAND]`. */
static int help(const struct command *commands, size_t count, int argc,
		char **argv)
{
	char option[] = "--help";
	const struct command *command;

	if (argc < 2 || argv[1][0] == '-') {
		print_help(stdout, commands, count);
		return EXIT_DONE;
	}
	command = find(commands, count, argv[1]);
	if (!command) {
		log_error("%s: no such command; see thaw help", argv[1]);
		return EXIT_USAGE;
	}
	return command->main(2, (char *[]){ argv[1], option, NULL });
}

/* Whether @word is @name, as a command or as an option. */
static bool is_word(const char *word, const char *name)
{
	return strcmp(word, name) == 0 ||
	       (strncmp(word, "--", 2) == 0 && strcmp(word + 2, name) == 0);
}

/* Runs what argv[1] names. */
static int dispatch(const struct command *commands, size_t count, int argc,
		    char **argv)
{
	const struct command *command;

	if (argc < 2) {
		print_help(stderr, commands, count);
		return EXIT_USAGE;
	}
	if (is_word(argv[1], "help") || strcmp(argv[1], "-h") == 0)
		return help(commands, count, argc - 1, argv + 1);
	if (is_word(argv[1], "version") || strcmp(argv[1], "-V") == 0) {
		puts("thaw " THAW_VERSION);
		return EXIT_DONE;
	}
	command = find(commands, count, argv[1]);
	if (!command) {
		log_error("%s: no such command; see thaw help", argv[1]);
		return EXIT_USAGE;
	}
	return command->main(argc - 1, argv + 1);
}

/* Runs a subcommand; see the header. */
int command_dispatch(const struct command *commands, size_t count, int argc,
		     char **argv)
{
	int status;

	open_standard_streams();
	status = dispatch(commands, count, argc, argv);
	errno = 0;
	if (fflush(stdout) != 0 || ferror(stdout)) {
		log_errno(errno ? errno : EIO, "standard output");
		if (status == EXIT_DONE)
			status = EXIT_HOST;
	}
	return status;
}
