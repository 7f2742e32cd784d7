/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of the pager: its parts and threads, created, started, stopped and
 * joined here.  Main thread, except where the header permits any.
 */
#include "vmm/pager/pager.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/base/thread.h"
#include "vmm/pager/private.h"

const char *const pager_mode_names[] = {
	[PAGER_AUTO] = "auto",	 [PAGER_USERFAULT] = "userfault",
	[PAGER_MAP] = "map",	 [PAGER_UFFD] = "uffd",
	[PAGER_EAGER] = "eager", NULL,
};

int pager_prepare(struct memory *memory, enum pager_mode mode)
{
	int r;

	if (mode != PAGER_USERFAULT)
		return 0;
	r = bitmap_map(memory);
	return r < 0 ? r : guard_map(memory);
}

void pager_unprepare(struct memory *memory)
{
	bitmap_unmap(memory);
	guard_unmap(memory);
}

/* Marks the source's pages absent and sets their bits in KVM's bitmap. */
static int set_absent(struct pager *pager)
{
	uint64_t pages = pager->memory->size_bytes / PAGE_BYTES;

	for (size_t i = 0; i < pager->source->run_count; i++) {
		const struct page_run *run = &pager->source->runs[i];

		if (!range_within(run->first, run->count, pages))
			return log_fail(EINVAL, "page source: run outside "
						"guest memory");
		pages_set_absent(&pager->pages, run->first, run->count);
		bitmap_set(pager->memory, run->first, run->count);
		pager->source_pages += run->count;
	}
	return 0;
}

/* Opens userfaultfd and starts its threads, where the mode has one. */
static int start_uffd(struct pager *pager)
{
	enum pager_mode mode = pager->config.mode;
	int r;

	/*
	 * No KVM: a unit test, which plays the vCPUs.  A mapped file has the
	 * contents already for accesses that the bitmap does not stop.
	 */
	if (mode != PAGER_UFFD && (!pager->memory->kvm || mode == PAGER_EAGER ||
				   pager->memory->backing == MEMORY_FILE))
		return 0;
	r = uffd_gate_open(&pager->uffd, pager->memory, pager->source);
	if (r < 0)
		return r;
	return uffd_threads_start(pager);
}

/* All that a fill uses, before the first thread. */
static int create_stages(struct pager *pager)
{
	uint64_t pages = pager->memory->size_bytes / PAGE_BYTES;
	uint32_t granule = pager->memory->granule_pages;
	int r = pages_init(&pager->pages, pages, granule);

	if (r < 0)
		return r;
	/* The loader reads on this thread. */
	thread_take_kicks();
	pager->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pager->wake_fd < 0)
		return log_errno(errno, "pager: eventfd");
	r = set_absent(pager);
	if (r == 0)
		r = record_open(pager);
	if (r == 0)
		r = start_uffd(pager);
	if (r == 0)
		r = pager_thread_start(&pager->watch_thread, "watch",
				       watch_main, pager);
	return r;
}

/* Replaces zeros by defaults, and bounds the fault-around. */
static void set_defaults(struct pager_config *config, uint32_t granule_pages)
{
	if (!config->run_pages)
		config->run_pages = PAGER_RUN_PAGES_DEFAULT;
	if (config->run_pages > PAGER_RUN_PAGES_MAX)
		config->run_pages = PAGER_RUN_PAGES_MAX;
	while (!is_power_of_two(config->run_pages))
		config->run_pages &= config->run_pages - 1;
	if (config->run_pages < granule_pages)
		config->run_pages = granule_pages;
	if (!config->deadline_ns)
		config->deadline_ns = PAGER_DEADLINE_DEFAULT;
}

int pager_create(struct pager **out, const struct pager_config *config)
{
	struct page_source *source;
	struct pager *pager;
	int r = source_wide_create(&source, config->source, config->memory);

	if (r < 0)
		return r;
	pager = calloc(1, sizeof(*pager));
	if (!pager) {
		page_source_destroy(source);
		return log_errno(ENOMEM, "pager");
	}
	pager->config = *config;
	set_defaults(&pager->config, config->memory->granule_pages);
	pager->memory = config->memory;
	pager->source = source;
	pager->start_ns = clock_now_ns();
	pager->uffd.fd = -1;
	pager->wake_fd = -1;
	pager->uffd_readers.timer_fd = -1;
	pthread_mutex_init(&pager->lock, NULL);
	pthread_mutex_init(&pager->uffd_readers.guard_lock, NULL);
	clock_cond_init(&pager->changed);
	r = create_stages(pager);
	if (r < 0) {
		pager_destroy(pager);
		return r;
	}
	pager->memory->populator =
		(struct memory_populator){ pager_populate, pager };
	*out = pager;
	return 0;
}

int pager_start(struct pager *pager)
{
	atomic_store(&pager->started, true);
	return pager_thread_start(&pager->background_thread, "background",
				  background_main, pager);
}

/* Last, as it kicks the threads that still read. */
static void stop_watch_thread(struct pager *pager)
{
	pthread_mutex_lock(&pager->lock);
	pager->watch_ends = true;
	pthread_cond_broadcast(&pager->changed);
	pthread_mutex_unlock(&pager->lock);
	pager_thread_join(&pager->watch_thread);
}

void pager_stop(struct pager *pager)
{
	/* From here on no fill worker is started. */
	pager_cancel(pager);
	uffd_threads_stop(pager);
	pager_thread_join(&pager->worker.thread);
	pager_thread_join(&pager->background_thread);
	stop_watch_thread(pager);
	uffd_gate_close(&pager->uffd);
}

void pager_destroy(struct pager *pager)
{
	if (!pager)
		return;
	pager_stop(pager);
	pager->memory->populator = (struct memory_populator){ 0 };
	record_close(pager);
	if (pager->wake_fd >= 0)
		close(pager->wake_fd);
	uffd_threads_finish(pager);
	uffd_gate_finish(&pager->uffd);
	watch_finish(pager);
	pages_finish(&pager->pages);
	page_source_destroy(pager->source);
	pthread_cond_destroy(&pager->changed);
	pthread_mutex_destroy(&pager->uffd_readers.guard_lock);
	pthread_mutex_destroy(&pager->lock);
	free(pager);
}

bool pager_is_stalled(const struct pager *pager)
{
	return atomic_load(&pager->waiters) != 0 || watch_has_overdue(pager);
}

size_t pager_recorded(const struct pager *pager, const uint64_t **pages)
{
	*pages = pager->recorded;
	return pager->recorded ? atomic_load(&pager->recorded_count) : 0;
}

void pager_stats(const struct pager *pager, struct pager_stats *stats)
{
	counters_read(pager->lanes, stats);
	stats->source_pages = pager->source_pages;
	stats->absent_pages = pages_absent(&pager->pages);
}
