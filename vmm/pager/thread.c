/* SPDX-License-Identifier: BSD-2-Clause */
/* The start and the join of the pager's threads. */
#include "vmm/base/log.h"
#include "vmm/base/thread.h"
#include "vmm/pager/private.h"

int pager_thread_start(struct pager_thread *thread, const char *name,
		       void *(*run)(void *arg), void *arg)
{
	int r = thread_start(&thread->id, name, run, arg);

	thread->runs = r == 0;
	return r < 0 ? log_errno(-r, "pager thread %s", name) : 0;
}

void pager_thread_join(struct pager_thread *thread)
{
	if (thread->runs)
		pthread_join(thread->id, NULL);
	thread->runs = false;
}
