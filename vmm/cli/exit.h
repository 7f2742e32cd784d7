/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The exit statuses of thaw.  They are part of its interface: thaw(1) and the
 * README list the same, and scripts rely on them.
 */
#ifndef VMM_CLI_EXIT_H
#define VMM_CLI_EXIT_H

enum exit_code {
	EXIT_DONE = 0, /* did what it was told; the guest powered off */
	EXIT_USAGE = 64, /* the command line makes no sense (sysexits.h) */
	EXIT_HOST = 70, /* the host, a file or the set-up refused */
	EXIT_CRASHED = 80, /* the guest is beyond help, or KVM gave up on it */
	EXIT_SOURCE = 81, /* memory that the guest needs cannot be had */
	EXIT_RESET = 82, /* the guest asked for a reset, --on-reboot=exit */
	EXIT_LEFT = 83, /* the user left with Ctrl-A x */
	EXIT_SIGNAL = 128, /* plus the number of the signal that ended thaw */
};

#endif
