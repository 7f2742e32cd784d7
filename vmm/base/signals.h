/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kinds of signals, and the mask of a thread that takes none.
 *
 * Signals sent to the process are the main thread's.  Every other thread is
 * started with all of them blocked but those of a crash: a fault that is blocked
 * where it happens ends the process without its handler, which restores the
 * terminal (vmm/io/raw_mode.c).
 */
#ifndef VMM_BASE_SIGNALS_H
#define VMM_BASE_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

/* Whether the process itself causes @sig, by a fault or abort(3). */
bool signal_is_crash(int sig);

/*
 * Whether @sig ends the process by default, and may be caught.  True for
 * numbers that signal(7) does not name, as those of real-time signals.
 */
bool signal_is_fatal(int sig);

/*
 * Blocks all signals but those of a crash in this thread, for the threads that
 * it starts until it restores *@before.
 */
void signals_block_in_thread(sigset_t *before);

#endif
