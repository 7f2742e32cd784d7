/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the pager share. */
#ifndef VMM_PAGER_PRIVATE_H
#define VMM_PAGER_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/types.h>

#include "vmm/base/log.h"
#include "vmm/pager/gates.h"
#include "vmm/pager/pager.h"
#include "vmm/pager/pages.h"
#include "vmm/pager/source.h"

/* At least as many as threads can need a page at once. */
#define FILL_SLOTS 320

/* How many blocks are remembered to have failed. */
#define SUSPECTS 64

/* What a thread is watched for. */
enum fill_kind {
	FILL_DEMAND, /* it reads what a thread waits for */
	FILL_BACKGROUND, /* it reads what no thread needs yet */
	FILL_WAITS, /* it waits for what another one reads */
};

/*
 * A fill in progress: one thread's, from watch_begin() to watch_end().  For the
 * watch it is a hint that is looked at every so often, long after it was
 * written.
 */
struct fill_slot {
	_Atomic uint64_t since_ns; /* of the read or wait; 0: free */
	_Atomic uint64_t wanted; /* the page that is needed */
	_Atomic uint64_t first; /* the pages that are read */
	_Atomic uint32_t count;
	_Atomic enum fill_kind kind;
	_Atomic pid_t thread; /* its gettid() */
	_Atomic uint64_t reported_ns; /* since_ns of the last reported */
	/*
	 * PAGER_RUN_PAGES_MAX pages for what is read aside, made when first
	 * needed; the filling thread's alone.
	 */
	uint8_t *buffer;
};

/*
 * What pager_try_fill() has its thread do, so that a source which does not
 * answer holds up that thread alone.  All under the pager's lock.
 */
struct fill_worker {
	pthread_t thread;
	bool runs;
	bool busy; /* the thread has not done what it was asked for */
	uint64_t page, end; /* what is left of that */
	int result;
};

/*
 * The pager.  @lock guards only the trace, the sleeps of the background and of
 * the watch, @watch_ends and @worker; the path of a fault takes it only where a
 * trace is written, and for the last page.
 */
struct pager {
	struct pager_config config; /* its source knows no granules */
	struct memory *memory;
	struct page_source *source; /* of whole granules; owned */
	struct pages pages;
	struct uffd_gate uffd;
	struct pager_counters counters;
	uint64_t start_ns;
	uint64_t source_pages;

	atomic_bool cancelled;
	/*
	 * pager_start() was called.  Before, the guest is being loaded: who
	 * needs a page is the loader, and nobody can say "go on".
	 */
	atomic_bool started;
	_Atomic uint32_t
		retry; /* a futex: how often pager_retry() was called */
	atomic_uint waiters; /* who waits for it */
	atomic_bool stopping; /* a failure that ends the machine was reported */
	atomic_uint demand; /* fills that somebody stands still for */
	struct fill_slot fills[FILL_SLOTS];
	/*
	 * Blocks, numbered from 1, in which a read of several pages has failed;
	 * their pages are read one by one.  A hint, the last few that failed.
	 */
	_Atomic uint64_t suspects[SUSPECTS];
	struct log_budget retry_log;

	int wake_fd; /* an eventfd: userfaultfd's thread shall end */
	pthread_t uffd_thread, background_thread, watch_thread;
	bool uffd_runs, background_runs, watch_runs;
	bool watch_ends; /* under the lock */
	bool map_limit_reported; /* userfaultfd's thread alone */
	struct fill_worker worker;

	/* With config.record: room for every page of the source. */
	uint64_t *recorded;
	_Atomic uint64_t recorded_count;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	FILE *trace; /* NULL: none */
};

/* Who needs a page, and since when. */
struct pager_need {
	enum pager_cause cause;
	int vcpu; /* -1: none */
	uint64_t since_ns; /* set by pager_fill() */
	uint32_t filled; /* set by pager_fill(): pages, by this thread */
};

/* Whether the pager is at its end. */
static inline bool pager_is_cancelled(const struct pager *pager)
{
	return atomic_load(&pager->cancelled);
}

/*
 * fill.c: the one path.  Makes a page present: 0, -EINTR (a vCPU should look at
 * the phase), -ECANCELED, -EIO.
 */
int pager_fill(struct pager *pager, uint64_t page, struct pager_need *need);

/* policy.c: one page that is read again and again. */
struct policy_retry {
	uint64_t start_ns;
	uint64_t wait_ns; /* before the last retry; 0: none yet */
	bool demand; /* a thread waits: the first failure is reported */
};

/* Whether to read @page again, which has failed with @err; waits before. */
bool policy_retries(struct pager *pager, struct policy_retry *retry,
		    uint64_t page, int err);
/* Reports that @page is unavailable: -EIO, or -EAGAIN after policy_wait(). */
int policy_fail(struct pager *pager, uint64_t page, int err);
/* Reports that the source has not answered for @for_ns. */
void policy_overdue(struct pager *pager, uint64_t page, uint64_t for_ns,
		    bool waited_for);
/*
 * Waits until pager_retry(), since which retry is not @seen any more; -EINTR
 * when a signal comes, as a kick of a vCPU.
 */
int policy_wait(struct pager *pager, uint32_t seen);

/* watch.c: the fills in progress, and the thread that watches them. */
struct fill_slot *watch_begin(struct pager *pager, enum fill_kind kind,
			      uint64_t page, uint64_t since_ns);
void watch_read(struct fill_slot *slot, uint64_t first, uint32_t count,
		uint64_t now_ns);
void watch_end(struct fill_slot *slot);
/* Whether a fill that a thread waits for is overdue. */
bool watch_has_overdue(const struct pager *pager);
int watch_start(struct pager *pager);
void watch_stop(struct pager *pager);
void watch_finish(struct pager *pager);

/* background.c: waits for a change or until a time; the lock is held. */
void pager_wait_until(struct pager *pager, uint64_t until_ns);
/* The same until a time or the end; the lock is not held. */
void pager_sleep_until(struct pager *pager, uint64_t until_ns);

/* background.c: the threads. */
int pager_thread_start(struct pager *pager, const char *name, pthread_t *thread,
		       bool *runs, void *(*run)(void *arg));
int background_start(struct pager *pager);
void background_stop(struct pager *pager);
/* The last page is in: the gates can go.  Wakes the background. */
void background_last_page(struct pager *pager);

/* fill_worker.c: ends its thread; the pager is cancelled. */
void fill_worker_stop(struct pager *pager);

/* uffd_thread.c */
int uffd_thread_start(struct pager *pager);
/* Ends it; the pager is cancelled. */
void uffd_thread_stop(struct pager *pager);

/* trace.c: one line a fault; nothing without a trace. */
int trace_open(struct pager *pager);
void trace_fault(struct pager *pager, const struct pager_need *need,
		 uint64_t page, uint64_t count, uint64_t now_ns);
void trace_close(struct pager *pager);

#endif
