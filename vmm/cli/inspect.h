/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw inspect`: what is in a snapshot. */
#ifndef VMM_CLI_INSPECT_H
#define VMM_CLI_INSPECT_H

/* See struct command. */
int inspect_main(int argc, char **argv);

#endif
