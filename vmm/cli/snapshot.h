/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw snapshot`: saves a running VM. */
#ifndef VMM_CLI_SNAPSHOT_H
#define VMM_CLI_SNAPSHOT_H

/* The subcommand; see command.h. */
int snapshot_main(int argc, char **argv);

#endif
