/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pager: demand paging of guest memory.
 *
 * Pages that the source holds start absent; all others are zero and cost
 * nothing.  Every need for an absent page ends in pager_fill() (fill.c): a
 * vCPU's userfault exit, a userfaultfd thread for faults of the kernel, a
 * device's access through the memory accessor, the background fill.  It claims
 * the page and its absent neighbours, reads them from the source, installs and
 * publishes them.  doc/design.md follows one fault through the files.
 *
 * Threads: the main thread creates, starts, stops and destroys it.  Functions for
 * other threads say so; the memory's populator is for any thread that holds no
 * lock.
 */
#ifndef VMM_PAGER_PAGER_H
#define VMM_PAGER_PAGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/mem/memory.h"
#include "vmm/pager/stats.h"

struct page_source;
struct pager;

/* The page-fault mechanism. */
enum pager_mode {
	PAGER_AUTO, /* to be chosen; see choose.h */
	/*
	 * KVM's bitmap; for accesses that it does not stop, userfaultfd, or the
	 * snapshot's file under the memory
	 */
	PAGER_USERFAULT,
	PAGER_MAP, /* the host kernel pages a mapped file */
	PAGER_UFFD, /* userfaultfd alone */
	PAGER_EAGER, /* all pages are filled before the guest runs */
};

/* The values of --pager, in the order of the enum; NULL at the end. */
extern const char *const pager_mode_names[];

/* What an unavailable page does. */
enum pager_on_error {
	PAGER_STOP, /* ends the VM */
	PAGER_PAUSE, /* blocks the threads that need it until pager_retry() */
};

struct pager_config {
	/* USERFAULT or UFFD; EAGER has no gate, see pager_fill_all() */
	enum pager_mode mode;
	struct memory *memory; /* prepared by pager_prepare() */
	struct page_source *source; /* becomes the pager's, also on failure */
	uint32_t run_pages; /* maximum fault-around; 0: the default */
	uint64_t deadline_ns; /* for a page with its retries; 0: the default */
	enum pager_on_error on_error;
	/*
	 * Called for each failure, after it was logged, on the thread that met
	 * it.  Must not wait for a vCPU.
	 */
	void (*failed)(void *ctx, enum pager_on_error on_error);
	void *ctx;
	/* Rate of the background fill; 0: off, UINT64_MAX: unlimited. */
	uint64_t prefault_bytes_s;
	/*
	 * The working set: pages that the background fills first, without a
	 * rate limit.  The caller's, outlives the pager.
	 */
	const uint64_t *workingset;
	size_t workingset_count;
	bool record; /* the working set of this run; see pager_recorded() */
	int trace_fd; /* the fault trace (record.c); -1: none */
};

#define PAGER_RUN_PAGES_DEFAULT 128
#define PAGER_RUN_PAGES_MAX	256
#define PAGER_DEADLINE_DEFAULT	(UINT64_C(10) * 1000 * 1000 * 1000)

/*
 * Gives each region what its memslot needs in @mode (a bitmap, a guard), before
 * memory_attach(), so that the slots are set once.  -errno, logged.
 */
int pager_prepare(struct memory *memory, enum pager_mode mode);
/* Undoes it, after the VM is destroyed and before memory_finish(). */
void pager_unprepare(struct memory *memory);

/*
 * Makes the source's pages absent, sets the gates, starts the userfaultfd and
 * watch threads, and becomes the memory's populator.  No vCPU has run, and the
 * memory is as memory_init() left it.  -errno, logged.
 */
int pager_create(struct pager **pager, const struct pager_config *config);

/*
 * Starts the background thread.  Before, every failure is one under PAGER_STOP,
 * and a thread that userfaultfd blocks on the failed page is woken to see zeros:
 * the guest must not run then.
 */
int pager_start(struct pager *pager);

/*
 * Makes every fill return -ECANCELED, those in progress and all later ones, and
 * the threads end.  Any thread; does not wait.  The vCPUs must not enter the
 * guest again.
 */
void pager_cancel(struct pager *pager);

/*
 * Cancels, joins the threads, and closes userfaultfd, which wakes the threads
 * that it blocks; they see zeros.  So the vCPUs must not enter the guest any
 * more, and no device may act on what they still do.
 */
void pager_stop(struct pager *pager);

/* Stops it and frees it; no vCPU runs.  NULL is fine. */
void pager_destroy(struct pager *pager);

/*
 * Fills the page of a userfault exit, on the vCPU's thread.  0: enter the guest
 * again; -EINTR: check the phase first; -ECANCELED or -EIO: do not enter;
 * -EFAULT: @gpa is not in RAM.  *@filled is what this thread filled, the page's
 * neighbours included; nothing where another thread has filled the page.
 */
int pager_vcpu_fault(struct pager *pager, unsigned int vcpu, gpa_t gpa,
		     struct memory_range *filled);

/* Retries the pages that are unavailable under PAGER_PAUSE.  Any thread. */
void pager_retry(struct pager *pager);
/*
 * Whether a thread waits for such a retry, or for a source that has exceeded
 * the deadline.  Any thread.
 */
bool pager_is_stalled(const struct pager *pager);
/* Whether a thread is blocked on a page at this moment.  Any thread. */
bool pager_has_demand(const struct pager *pager);

/*
 * Fills all pages, before pager_start(), as demand.  -EIO, reported like any
 * failure.
 */
int pager_fill_all(struct pager *pager);

/*
 * Fills pages for a snapshot.  No thread needs them now, so a failure is the
 * caller's alone: it is not logged, and waits neither for a retry nor beyond
 * the deadline.  -EIO, -ETIMEDOUT when the source does not answer, -ECANCELED;
 * another -errno, logged, when the worker cannot be started.  The thread that
 * saves, after pager_start().
 */
int pager_try_fill(struct pager *pager, uint64_t first, uint64_t count);

/*
 * The pages that were needed so far, in order, where config.record is set;
 * returns their number.  The array is the pager's.  After pager_stop().
 */
size_t pager_recorded(const struct pager *pager, const uint64_t **pages);

/* The counters so far.  Any thread. */
void pager_stats(const struct pager *pager, struct pager_stats *stats);

#endif
