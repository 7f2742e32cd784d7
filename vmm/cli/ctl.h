/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw ctl`: controls a running VM. */
#ifndef VMM_CLI_CTL_H
#define VMM_CLI_CTL_H

/* The subcommand; see command.h. */
int ctl_main(int argc, char **argv);

#endif
