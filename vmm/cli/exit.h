/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The exit statuses of thaw.  They are part of its interface: thaw(1) and the
 * README list the same, and scripts rely on them.
 */
#ifndef VMM_CLI_EXIT_H
#define VMM_CLI_EXIT_H

#include "vmm/base/option.h"

enum exit_code {
	EXIT_DONE = 0, /* success; the guest powered off */
	EXIT_USAGE = 64, /* usage error (sysexits.h) */
	EXIT_HOST = 70, /* error of the host, a file or the set-up */
	EXIT_CRASHED = 80, /* the guest crashed, or KVM cannot run it */
	EXIT_SOURCE = 81, /* guest memory is unavailable */
	EXIT_RESET = 82, /* the guest asked for a reset, --on-reboot=exit */
	EXIT_LEFT = 83, /* the user left with Ctrl-A x */
	/* Of `thaw exec`, for what is no outcome of its command. */
	EXIT_EXEC_ENDED = 120, /* the guest powered off, or Ctrl-A x */
	EXIT_EXEC_RESET = 121, /* the guest reset or crashed */
	EXIT_EXEC_PANICKED = 122, /* the guest's kernel panicked */
	EXIT_EXEC_HUNG = 123, /* no sign of life from the guest */
	EXIT_EXEC_TIMED_OUT = 124, /* --timeout */
	EXIT_EXEC_FAILED = 125, /* thaw, the host, the init, or usage */
	EXIT_EXEC_NOT_EXECUTABLE = 126, /* the command cannot be executed */
	EXIT_EXEC_NOT_FOUND = 127, /* there is no such command */
	EXIT_SIGNAL = 128, /* plus the number of the signal that ended thaw */
};

/* The exit status of a subcommand after option_parse(); -1: it continues. */
static inline int exit_after_options(enum option_result result)
{
	switch (result) {
	case OPTION_HELPED:
		return EXIT_DONE;
	case OPTION_BAD:
		return EXIT_USAGE;
	case OPTION_DONE:
		break;
	}
	return -1;
}

#endif
