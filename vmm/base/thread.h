/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads, and the kick that makes one of them leave a system call.
 *
 * A thread has a stack of a fixed size, whatever `ulimit -s` or the C library
 * say, and blocks all signals but those of a crash of its own and the kick.
 */
#ifndef VMM_BASE_THREAD_H
#define VMM_BASE_THREAD_H

#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

/* Far above what any function here needs; only what is touched is memory. */
#define THREAD_STACK_BYTES (512 * 1024)

/* Starts a thread of that name (at most 15 bytes).  -errno, silent. */
int thread_start(pthread_t *thread, const char *name, void *(*run)(void *arg),
		 void *arg);

/*
 * Makes the calling thread take kicks, and the process survive them.  Threads
 * of thread_start() do; the main thread calls it before it reads what may hang.
 */
void thread_take_kicks(void);

/* Kicks of this thread set *@flag to 1 as well, until NULL takes its place. */
void thread_set_kick_flag(volatile uint8_t *flag);

/*
 * Kicks a thread that has not been joined, or one by its gettid(), which may be
 * gone.  A system call that waits returns EINTR, where it can be interrupted; a
 * kick that comes before the call is lost but for the flag.
 */
void thread_kick(pthread_t thread);
void thread_kick_id(pid_t id);

#endif
