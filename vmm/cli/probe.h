/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw probe`: shows what this host supports. */
#ifndef VMM_CLI_PROBE_H
#define VMM_CLI_PROBE_H

/* The subcommand; see command.h. */
int probe_main(int argc, char **argv);

#endif
