/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads that fill parts together: each takes the next part under the pager's lock,
 * which is not held during a fill.  The calling thread is one of them, so that a
 * start that fails costs time only.
 */
#include "vmm/base/thread.h"
#include "vmm/pager/private.h"

/* More threads than this gain nothing: they wait for the memory. */
#define THREADS_MAX 16

/* A thread has this much to do, at least. */
#define THREAD_PAGES (4 * MIB / PAGE_BYTES)

static void *crew_main(void *arg)
{
	struct pager_crew *crew = arg;
	struct pager *pager = crew->pager;
	struct page_run part;
	int r = 0;

	pthread_mutex_lock(&pager->lock);
	while (r == 0 && crew->take(crew, &part)) {
		pthread_mutex_unlock(&pager->lock);
		r = crew->fill(pager, &part);
		pthread_mutex_lock(&pager->lock);
	}
	crew->failed = crew->failed || r < 0;
	pthread_mutex_unlock(&pager->lock);
	return NULL;
}

void pager_crew_run(struct pager_crew *crew, uint64_t pages,
		    unsigned int threads_max)
{
	struct pager_thread threads[THREADS_MAX] = { 0 };
	unsigned int most =
		threads_max < THREADS_MAX ? threads_max : THREADS_MAX;
	unsigned int count = (unsigned int)min_u64(threads_useful(most),
						   pages / THREAD_PAGES + 1);

	for (unsigned int i = 1; i < count; i++)
		if (pager_thread_start(&threads[i], crew->name, crew_main,
				       crew) < 0)
			break;
	crew_main(crew);
	for (unsigned int i = 1; i < count; i++)
		pager_thread_join(&threads[i]);
}
