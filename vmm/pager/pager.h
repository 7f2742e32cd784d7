/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pager: guest memory that arrives when it is touched.
 *
 * Pages that the source holds start absent; all others are zero and cost
 * nothing.  Whoever needs an absent page - a vCPU that left KVM_RUN with a
 * userfault exit, the userfaultfd thread for everybody whom the kernel stopped,
 * a device through the memory accessor, the background - comes to the same
 * function, which claims the page and its absent neighbours, reads them from
 * the source, installs and publishes them.  doc/design.md follows one fault
 * through the files.
 *
 * Threads: made and destroyed by the control thread; pager_vcpu_fault() is for
 * vCPU threads; the populator for any thread without a lock.
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

/* How absent pages are noticed. */
enum pager_mode {
	PAGER_AUTO, /* to be decided; see choose.h */
	PAGER_USERFAULT, /* KVM's bitmap, with userfaultfd beside it */
	PAGER_UFFD, /* userfaultfd alone */
	PAGER_MAP, /* the host kernel pages a mapped file */
	PAGER_EAGER, /* everything is filled before the guest runs */
};

/* The words of --pager, in the order of the enum; NULL at the end. */
extern const char *const pager_mode_names[];

/* What happens when a page cannot be had. */
enum pager_on_error {
	PAGER_STOP, /* the machine ends */
	PAGER_PAUSE, /* who needs the page waits until pager_retry() */
};

struct pager_config {
	/* USERFAULT or UFFD; EAGER has no gate, see pager_fill_all() */
	enum pager_mode mode;
	struct memory *memory; /* prepared by pager_prepare() */
	struct page_source *source; /* becomes the pager's, also on failure */
	uint32_t run_pages; /* at most so many at once; 0: the default */
	uint64_t deadline_ns; /* for one fill with its retries; 0: default */
	enum pager_on_error on_error;
	/*
	 * Told when a page cannot be had, once a failure, from the thread that
	 * found it; it has been logged.  Must not wait for a vCPU.
	 */
	void (*failed)(void *ctx, enum pager_on_error on_error);
	void *ctx;
	/*
	 * Pages that are filled without being asked for, in bytes a second;
	 * 0: none, UINT64_MAX: as fast as it goes.
	 */
	uint64_t prefault_bytes_s;
	/*
	 * Pages that are filled ahead before all others, at once, whatever the
	 * budget: the working set.  The caller's, outlives the pager.
	 */
	const uint64_t *workingset;
	size_t workingset_count;
	bool record; /* remember which pages were asked for, in order */
	int trace_fd; /* where faults are told, one line each; -1: nowhere */
};

#define PAGER_RUN_PAGES_DEFAULT 128
#define PAGER_RUN_PAGES_MAX	256
#define PAGER_DEADLINE_DEFAULT	(UINT64_C(10) * 1000 * 1000 * 1000)

/*
 * Gives each region what its memslot needs for @mode (a bitmap, a guard), before
 * memory_attach(), so that the slots are set once.  -errno, logged.
 */
int pager_prepare(struct memory *memory, enum pager_mode mode);
/* Frees that again, after the VM is gone and before memory_finish(). */
void pager_unprepare(struct memory *memory);

/*
 * Makes the source's pages absent and sets the gates.  No vCPU has run, and the
 * memory is as memory_init() left it.  Becomes the memory's populator.
 */
int pager_create(struct pager **pager, const struct pager_config *config);

/*
 * Starts the background; userfaultfd's thread and the watch run from creation
 * on.  Before, each failure is one under PAGER_STOP, and whom the kernel has
 * stopped is let go: the guest must not run then.
 */
int pager_start(struct pager *pager);

/*
 * Makes every fill that waits return -ECANCELED, now and from now on, and the
 * threads end.  Any thread; returns at once.  The vCPUs must not enter the
 * guest again.
 */
void pager_cancel(struct pager *pager);

/*
 * Cancels, joins the threads, and closes userfaultfd, which lets go whom the
 * kernel has stopped: they see zeros.  So the vCPUs must not enter the guest
 * any more, and no device may act on what they still do.
 */
void pager_stop(struct pager *pager);

/* Stops it and frees it; no vCPU runs.  NULL is fine. */
void pager_destroy(struct pager *pager);

/*
 * Fills the page of a userfault exit.  0: enter the guest again; -EINTR: look
 * at the phase first; -ECANCELED or -EIO: do not enter; -EFAULT: not a page
 * that the pager knows.
 */
int pager_vcpu_fault(struct pager *pager, unsigned int vcpu, gpa_t gpa);

/* After a failure under PAGER_PAUSE: tries again. */
void pager_retry(struct pager *pager);
/*
 * Whether somebody waits after such a failure, or for a source that has not
 * answered within the deadline.
 */
bool pager_is_stalled(const struct pager *pager);
/* Whether somebody stands still for a page at this moment. */
bool pager_has_demand(const struct pager *pager);

/*
 * Fills everything, before pager_start(), as a loader's access does.  -EIO,
 * told as each failure is.
 */
int pager_fill_all(struct pager *pager);

/*
 * Fills pages for a snapshot: nobody needs them now, so an error is the
 * caller's alone, and nobody waits for "go on" or for ever: -EIO, -ETIMEDOUT
 * when the source does not answer, or -ECANCELED.  One thread at a time, after
 * pager_start().
 */
int pager_try_fill(struct pager *pager, uint64_t first, uint64_t count);

/*
 * The pages that were asked for so far, in order, where config.record is set;
 * how many.  The array is the pager's.  After pager_stop().
 */
size_t pager_recorded(const struct pager *pager, const uint64_t **pages);

/* The figures so far.  Any thread. */
void pager_stats(const struct pager *pager, struct pager_stats *stats);

#endif
