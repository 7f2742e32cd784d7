/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw ctl` and `thaw snapshot`: talk to a running machine. */
#ifndef VMM_CLI_CTL_H
#define VMM_CLI_CTL_H

/* See struct command. */
int ctl_main(int argc, char **argv);
int snapshot_main(int argc, char **argv);

#endif
