/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kinds of signals, and the signal mask of threads other than the main thread.
 *
 * Signals sent to the process are handled by the main thread. Every other
 * thread starts with all signals blocked except crashes: a blocked fault would
 * end the process without its handler, which restores the terminal
 * (vmm/io/raw_mode.c).
 */
#ifndef VMM_BASE_SIGNALS_H
#define VMM_BASE_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

/* Whether @sig is caused by the process itself: a fault or abort(3). */
bool signal_is_crash(int sig);

/*
 * Whether @sig ends the process by default and can be caught. True for numbers
 * not in signal(7), such as real-time signals.
 */
bool signal_is_fatal(int sig);

/*
 * Blocks all signals except crashes in this thread, and thus in threads that it
 * starts, until it restores *@before.
 */
void signals_block_in_thread(sigset_t *before);

#endif
