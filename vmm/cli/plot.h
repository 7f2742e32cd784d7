/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw plot`: draws a fault trace. */
#ifndef VMM_CLI_PLOT_H
#define VMM_CLI_PLOT_H

/* See struct command. */
int plot_main(int argc, char **argv);

#endif
