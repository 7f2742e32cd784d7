/* SPDX-License-Identifier: BSD-2-Clause */
/* Kinds of signals, from signal(7). */
#include "vmm/base/signals.h"

#include "vmm/base/bytes.h"

/* Sent by the kernel for a faulting instruction, or by abort(3). */
static const int crash_signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE,
				     SIGTRAP, SIGSYS, SIGABRT };

/* Signals whose default action is to stop, to continue, or none. */
static const int harmless_signals[] = { SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU,
					SIGCONT, SIGCHLD, SIGURG,  SIGWINCH };

static bool is_in(int sig, const int *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i] == sig)
			return true;
	}
	return false;
}

bool signal_is_crash(int sig)
{
	return is_in(sig, crash_signals, ARRAY_SIZE(crash_signals));
}

bool signal_is_fatal(int sig)
{
	return sig != SIGKILL &&
	       !is_in(sig, harmless_signals, ARRAY_SIZE(harmless_signals));
}

void signals_block_in_thread(sigset_t *before)
{
	sigset_t mask;

	sigfillset(&mask);
	for (size_t i = 0; i < ARRAY_SIZE(crash_signals); i++)
		sigdelset(&mask, crash_signals[i]);
	pthread_sigmask(SIG_SETMASK, &mask, before);
}
