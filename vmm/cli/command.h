/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The subcommands: a table in command.c, and a file for each, whose ..._main()
 * parses its options and returns an exit status.  This room alone decides exit
 * statuses (exit.h).
 */
#ifndef VMM_CLI_COMMAND_H
#define VMM_CLI_COMMAND_H

/*
 * Runs the subcommand named by argv[1], `help` or `version`; returns the exit
 * status.  Standard output that cannot be written is an error of the host.
 * Main thread, before any other starts.
 */
int command_main(int argc, char **argv);

#endif
