/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads, and the kick that interrupts a system call of one.
 *
 * A thread has a stack of fixed size, independent of `ulimit -s` and of the C
 * library, and blocks all signals except its own crashes and the kick.
 */
#ifndef VMM_BASE_THREAD_H
#define VMM_BASE_THREAD_H

#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

/* Far above the needs of any function here; only accessed pages use memory. */
#define THREAD_STACK_BYTES (512 * 1024)

/* Starts a thread named @name (at most 15 bytes). -errno, silent. */
int thread_start(pthread_t *thread, const char *name, void *(*run)(void *arg),
		 void *arg);

/*
 * Unblocks kicks in the calling thread and installs their handler.
 * thread_start() does so for its threads; the main thread calls it before it
 * makes system calls that may block.
 */
void thread_take_kicks(void);

/* Kicks of this thread also set *@flag to 1; NULL: no flag. */
void thread_set_kick_flag(volatile uint8_t *flag);

/*
 * Kicks a thread that is not joined yet, or one by its gettid(), which may have
 * exited. A blocked system call returns EINTR, if interruptible; a kick before
 * the call has no effect except on the flag.
 */
void thread_kick(pthread_t thread);
void thread_kick_id(pid_t id);

/*
 * How many threads can work at once: the processors that this process may use,
 * @most at most.
 */
unsigned int threads_useful(unsigned int most);

/*
 * For how long threads of the process were ready to run without a processor, in
 * ns, added up (/proc/PID/task/TID/schedstat, second number; proc(5)). 0 where
 * the kernel does not count it. Any thread.
 */
uint64_t threads_run_delay_ns(void);

#endif
