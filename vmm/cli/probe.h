/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw probe`: what this host can do for a guest, in words or as JSON. */
#ifndef VMM_CLI_PROBE_H
#define VMM_CLI_PROBE_H

/* See struct command. */
int probe_main(int argc, char **argv);

#endif
