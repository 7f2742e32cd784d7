/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw restore`: resumes a guest from a snapshot. */
#ifndef VMM_CLI_RESTORE_H
#define VMM_CLI_RESTORE_H

/* The subcommand; see command.h. */
int restore_main(int argc, char **argv);

#endif
