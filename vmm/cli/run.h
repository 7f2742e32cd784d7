/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw run`: boots a guest in the foreground. */
#ifndef VMM_CLI_RUN_H
#define VMM_CLI_RUN_H

/* The subcommand; see command.h. */
int run_main(int argc, char **argv);

#endif
