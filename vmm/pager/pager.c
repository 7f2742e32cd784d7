/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pager's life, and the doors through which a need for a page comes in:
 * pager_vcpu_fault() and the memory accessor's populate().  Every door leads to
 * pager_fill() in fill.c.
 */
#include "vmm/pager/pager.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/base/thread.h"
#include "vmm/pager/private.h"

const char *const pager_mode_names[] = {
	[PAGER_AUTO] = "auto",	 [PAGER_USERFAULT] = "userfault",
	[PAGER_UFFD] = "uffd",	 [PAGER_MAP] = "map",
	[PAGER_EAGER] = "eager", NULL,
};

/* Gives the regions what their slots need. */
int pager_prepare(struct memory *memory, enum pager_mode mode)
{
	int r;

	if (mode != PAGER_USERFAULT)
		return 0;
	r = bitmap_map(memory);
	return r < 0 ? r : guard_map(memory);
}

/* Frees it. */
void pager_unprepare(struct memory *memory)
{
	bitmap_unmap(memory);
	guard_unmap(memory);
}

/* The memory accessor's door.  No lock is held. */
static int populate(void *ctx, gpa_t gpa, uint64_t len_bytes)
{
	struct pager *pager = ctx;
	const struct memory_region *region =
		memory_find(pager->memory, gpa, len_bytes);
	uint64_t page = memory_page(region, gpa);
	uint64_t last = memory_page(region, gpa + len_bytes - 1);

	for (; page <= last; page++) {
		struct pager_need need = { .cause = PAGER_CAUSE_DEVICE,
					   .vcpu = -1 };
		int r;

		if (pages_is_present(&pager->pages, page))
			continue;
		r = pager_fill(pager, page, &need);
		if (r < 0)
			return -EIO;
	}
	return 0;
}

/* Makes the source's pages absent, and stops who would touch them. */
static int set_absent(struct pager *pager)
{
	uint64_t pages = pager->memory->size_bytes / PAGE_BYTES;

	for (size_t i = 0; i < pager->source->run_count; i++) {
		const struct page_run *run = &pager->source->runs[i];

		if (!range_within(run->first, run->count, pages))
			return log_fail(EINVAL, "page source: pages beyond "
						"the guest's memory");
		pages_set_absent(&pager->pages, run->first, run->count);
		bitmap_set(pager->memory, run->first, run->count);
		pager->source_pages += run->count;
	}
	return 0;
}

/* The stages of making it. */
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
	if (r < 0)
		return r;
	/* All that a fill looks at is there before the first thread is. */
	if (pager->config.record) {
		pager->recorded = calloc(pager->source_pages + 1,
					 sizeof(pager->recorded[0]));
		if (!pager->recorded)
			return log_errno(ENOMEM, "working set");
	}
	r = trace_open(pager);
	if (r < 0)
		return r;
	/* No KVM: a test that has only the bitmap, and plays the vCPUs. */
	if (pager->config.mode == PAGER_UFFD ||
	    (pager->memory->kvm && pager->config.mode != PAGER_EAGER)) {
		r = uffd_gate_open(&pager->uffd, pager->memory, pager->source);
		if (r < 0)
			return r;
		r = uffd_thread_start(pager);
		if (r < 0)
			return r;
	}
	return watch_start(pager);
}

/* Fills in what the caller left to us, for granules of so many pages. */
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

/* Makes the pager. */
int pager_create(struct pager **out, const struct pager_config *config)
{
	struct page_source *source;
	struct pager *pager;
	int r = source_granule_create(&source, config->source,
				      config->memory->granule_pages);

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
	pthread_mutex_init(&pager->lock, NULL);
	clock_cond_init(&pager->changed);
	r = create_stages(pager);
	if (r < 0) {
		pager_destroy(pager);
		return r;
	}
	pager->memory->populator = (struct memory_populator){ populate, pager };
	*out = pager;
	return 0;
}

/* Starts the background. */
int pager_start(struct pager *pager)
{
	atomic_store(&pager->started, true);
	return background_start(pager);
}

/* Makes every waiter give up. */
void pager_cancel(struct pager *pager)
{
	atomic_store(&pager->cancelled, true);
	if (pager->source->ops->cancel)
		pager->source->ops->cancel(pager->source);
	pages_wake_all(&pager->pages);
	pager_retry(pager);
	/* The watch kicks the threads that are in a read. */
	pthread_mutex_lock(&pager->lock);
	pthread_cond_broadcast(&pager->changed);
	pthread_mutex_unlock(&pager->lock);
}

/* Ends the threads, and lets go whom userfaultfd has stopped. */
void pager_stop(struct pager *pager)
{
	pager_cancel(pager);
	uffd_thread_stop(pager);
	fill_worker_stop(pager);
	background_stop(pager);
	watch_stop(pager);
	uffd_gate_close(&pager->uffd);
}

/* Ends it and frees it. */
void pager_destroy(struct pager *pager)
{
	if (!pager)
		return;
	pager_stop(pager);
	pager->memory->populator = (struct memory_populator){ 0 };
	trace_close(pager);
	if (pager->wake_fd >= 0)
		close(pager->wake_fd);
	uffd_gate_finish(&pager->uffd);
	watch_finish(pager);
	pages_finish(&pager->pages);
	free(pager->recorded);
	page_source_destroy(pager->source);
	pthread_cond_destroy(&pager->changed);
	pthread_mutex_destroy(&pager->lock);
	free(pager);
}

/* The vCPUs' door. */
int pager_vcpu_fault(struct pager *pager, unsigned int vcpu, gpa_t gpa)
{
	const struct memory_region *region =
		memory_find(pager->memory, gpa, PAGE_BYTES);
	struct pager_need need = { .cause = PAGER_CAUSE_VCPU,
				   .vcpu = (int)vcpu };

	if (!region)
		return -EFAULT;
	return pager_fill(pager, memory_page(region, gpa), &need);
}

/* Lets those try again who wait after a failure. */
void pager_retry(struct pager *pager)
{
	atomic_fetch_add(&pager->retry, 1);
	syscall(SYS_futex, (void *)&pager->retry, FUTEX_WAKE_PRIVATE, INT_MAX,
		NULL, NULL, 0);
}

/* Whether somebody waits after a failure. */
bool pager_is_stalled(const struct pager *pager)
{
	return atomic_load(&pager->waiters) != 0 || watch_has_overdue(pager);
}

/* Whether somebody stands still for a page. */
bool pager_has_demand(const struct pager *pager)
{
	return atomic_load(&pager->demand) != 0;
}

/* Fills all pages of the source, each as if somebody stood still for it. */
int pager_fill_all(struct pager *pager)
{
	for (size_t i = 0; i < pager->source->run_count; i++) {
		const struct page_run *run = &pager->source->runs[i];

		for (uint64_t n = 0; n < run->count; n++) {
			struct pager_need need = { .cause = PAGER_CAUSE_DEVICE,
						   .vcpu = -1 };
			int r;

			if (pages_is_present(&pager->pages, run->first + n))
				continue;
			r = pager_fill(pager, run->first + n, &need);
			if (r < 0)
				return -EIO;
		}
	}
	return 0;
}

/* Whether a page is absent. */
bool pager_is_absent(const struct pager *pager, uint64_t page)
{
	return !pages_is_present(&pager->pages, page);
}

/* What was asked for. */
size_t pager_recorded(const struct pager *pager, const uint64_t **pages)
{
	*pages = pager->recorded;
	return pager->recorded ? atomic_load(&pager->recorded_count) : 0;
}

/* The figures. */
void pager_stats(const struct pager *pager, struct pager_stats *stats)
{
	counters_read(&pager->counters, stats);
	stats->source_pages = pager->source_pages;
	stats->absent_pages = atomic_load(&pager->pages.absent);
}
