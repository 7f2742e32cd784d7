// SPDX-License-Identifier: BSD-2-Clause
/* See the header.  A thread is kicked while its request is in the list. */
#include "vmm/fs/running.h"

#include <stddef.h>

#include "vmm/base/thread.h"

void running_begin(struct running_list *l, struct running *r, uint64_t unique)
{
	r->unique = unique;
	r->thread = pthread_self();
	atomic_init(&r->interrupted, false);
	pthread_mutex_lock(&l->lock);
	r->next = l->first;
	r->link = &l->first;
	if (r->next)
		r->next->link = &r->next;
	l->first = r;
	pthread_mutex_unlock(&l->lock);
}

void running_end(struct running_list *l, struct running *r)
{
	pthread_mutex_lock(&l->lock);
	*r->link = r->next;
	if (r->next)
		r->next->link = r->link;
	pthread_mutex_unlock(&l->lock);
}

/* The request is in the list, whose lock is held. */
static void interrupt(struct running *r)
{
	atomic_store_explicit(&r->interrupted, true, memory_order_relaxed);
	thread_kick(r->thread);
}

void running_interrupt(struct running_list *l, uint64_t unique)
{
	pthread_mutex_lock(&l->lock);
	for (struct running *r = l->first; r; r = r->next)
		if (r->unique == unique)
			interrupt(r);
	pthread_mutex_unlock(&l->lock);
}

void running_interrupt_all(struct running_list *l)
{
	pthread_mutex_lock(&l->lock);
	for (struct running *r = l->first; r; r = r->next)
		interrupt(r);
	pthread_mutex_unlock(&l->lock);
}
