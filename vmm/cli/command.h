/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Subcommands: a table of them in main.c, one file each in this room.  This
 * room alone decides exit statuses (exit.h).
 */
#ifndef VMM_CLI_COMMAND_H
#define VMM_CLI_COMMAND_H

#include <stddef.h>

struct command {
	const char *name;
	const char *summary; /* half a line for `thaw help` */
	/*
	 * argv[0] is the subcommand's name; returns an exit status of exit.h.
	 * Main thread, no other runs yet.
	 */
	int (*main)(int argc, char **argv);
};

/*
 * Runs the subcommand that argv[1] names, or help or version, which every table
 * has; the exit status.  Output that could not be written is a host error.
 */
int command_dispatch(const struct command *commands, size_t count, int argc,
		     char **argv);

#endif
