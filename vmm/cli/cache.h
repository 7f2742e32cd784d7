/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw cache`: lists or clears the snapshots that `thaw exec` keeps. */
#ifndef VMM_CLI_CACHE_H
#define VMM_CLI_CACHE_H

/* The subcommand; see command.h. */
int cache_main(int argc, char **argv);

#endif
