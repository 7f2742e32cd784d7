/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The requests that run, so that they can be interrupted: their threads are
 * kicked out of a system call where the kernel allows it, and the request ends
 * with -EINTR.  A kick just before a system call is lost.  Any thread; one lock.
 */
#ifndef VMM_FS_RUNNING_H
#define VMM_FS_RUNNING_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A request; belongs to its thread, which has had fs_thread_prepare(). */
struct running {
	uint64_t unique;
	pthread_t thread;
	_Atomic bool interrupted;
	struct running *next, **link; /* the list's */
};

/* Part of a server; zeroed, and the lock initialised. */
struct running_list {
	pthread_mutex_t lock;
	struct running *first;
	/* No request that may wait begins: it ends with -EINTR. */
	_Atomic bool refused;
};

void running_begin(struct running_list *l, struct running *r, uint64_t unique);
void running_end(struct running_list *l, struct running *r);

/* Interrupts the request with this number, if it runs. */
void running_interrupt(struct running_list *l, uint64_t unique);
void running_interrupt_all(struct running_list *l);

/* Whether a request was interrupted; looked at between system calls. */
static inline bool running_is_interrupted(const struct running *r)
{
	return atomic_load_explicit(&r->interrupted, memory_order_relaxed);
}

static inline void running_refuse(struct running_list *l, bool refused)
{
	atomic_store_explicit(&l->refused, refused, memory_order_relaxed);
}

static inline bool running_is_refused(const struct running_list *l)
{
	return atomic_load_explicit(&l->refused, memory_order_relaxed);
}

#endif
