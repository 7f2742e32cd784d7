/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the pager share. */
#ifndef VMM_PAGER_PRIVATE_H
#define VMM_PAGER_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "vmm/pager/gates.h"
#include "vmm/pager/pager.h"
#include "vmm/pager/pages.h"
#include "vmm/pager/source.h"

#define WATCH_SLOTS 64

/* What a thread is watched for. */
enum fill_kind {
	FILL_DEMAND, /* it reads what somebody stands still for */
	FILL_BACKGROUND, /* it reads what nobody needs yet */
	FILL_WAITS, /* it stands still for what another one reads */
};

/*
 * A fill in progress, for the watch: since when, and which pages.  It is a hint
 * that is looked at every so often, long after it was written.
 */
struct fill_slot {
	_Atomic uint64_t since_ns; /* 0: free */
	_Atomic uint64_t page;
	_Atomic uint32_t count;
	_Atomic enum fill_kind kind;
	_Atomic uint64_t told_ns; /* the start of the last that was told of */
};

/*
 * What pager_try_fill() has its thread do, so that a source which does not
 * answer holds up that thread alone.  All under the pager's lock.
 */
struct pager_try {
	pthread_t thread;
	bool runs;
	bool busy; /* the thread has not done what it was asked for */
	uint64_t page, end; /* what is left of that */
	int result;
};

/*
 * The pager.  @lock guards only the trace, the background's sleep and @try; the
 * path of a fault takes it only where a trace is written.
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
		go_on; /* a futex: how often pager_go_on() was called */
	atomic_uint stuck; /* who waits for it */
	atomic_bool stopping; /* a failure that ends the machine was told */
	atomic_uint demand; /* fills that somebody stands still for */
	struct fill_slot fills[WATCH_SLOTS];

	int wake_fd; /* an eventfd: userfaultfd's thread shall end */
	pthread_t uffd_thread, background_thread, watch_thread;
	bool uffd_runs, background_runs, watch_runs;
	bool map_limit_reported; /* userfaultfd's thread alone */
	struct pager_try try;

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

/* Whether a failure ends the machine. */
static inline bool pager_stops(const struct pager *pager)
{
	return pager->config.on_error == PAGER_STOP ||
	       !atomic_load(&pager->started);
}

/*
 * Whether a failure is news.  What follows the first that ends the machine is
 * not: others find the same until it has ended.
 */
static inline bool pager_tells(struct pager *pager, bool stop)
{
	return !stop || !atomic_exchange(&pager->stopping, true);
}

/* fill.c: the address of a page in the guest, for messages. */
unsigned long long pager_page_gpa(const struct pager *pager, uint64_t page);

/*
 * fill.c: the one path.  Makes a page present: 0, -EINTR (a vCPU should look at
 * the phase), -ECANCELED, -EIO.
 */
int pager_fill(struct pager *pager, uint64_t page, struct pager_need *need);

/* background.c: waits for a change or until a time; the lock is held. */
void pager_wait_until(struct pager *pager, uint64_t until_ns);

/* background.c: the threads. */
int pager_thread_start(struct pager *pager, pthread_t *thread, bool *runs,
		       void *(*run)(void *arg));
int watch_start(struct pager *pager);
int background_start(struct pager *pager);
void background_stop(struct pager *pager);
/* The last page is in: the gates can go.  Wakes the background. */
void background_last_page(struct pager *pager);

/* try.c: ends its thread; the pager is cancelled. */
void try_stop(struct pager *pager);

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
