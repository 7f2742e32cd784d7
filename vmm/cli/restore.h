/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw restore`: continues a guest from a snapshot. */
#ifndef VMM_CLI_RESTORE_H
#define VMM_CLI_RESTORE_H

/* See struct command. */
int restore_main(int argc, char **argv);

#endif
