/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw inspect`: shows the contents of a snapshot. */
#ifndef VMM_CLI_INSPECT_H
#define VMM_CLI_INSPECT_H

/* The subcommand; see command.h. */
int inspect_main(int argc, char **argv);

#endif
