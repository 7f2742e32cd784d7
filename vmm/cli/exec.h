/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw exec`: runs a command in a fresh guest. */
#ifndef VMM_CLI_EXEC_H
#define VMM_CLI_EXEC_H

/* The subcommand; see command.h. */
int exec_main(int argc, char **argv);

#endif
