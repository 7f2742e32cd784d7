/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw run`: boots a guest and stays with it until it ends. */
#ifndef VMM_CLI_RUN_H
#define VMM_CLI_RUN_H

/* See struct command. */
int run_main(int argc, char **argv);

#endif
