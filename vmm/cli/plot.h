/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw plot`: draws a fault trace as an SVG. */
#ifndef VMM_CLI_PLOT_H
#define VMM_CLI_PLOT_H

/* The subcommand; see command.h. */
int plot_main(int argc, char **argv);

#endif
