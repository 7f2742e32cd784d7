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

/*
 * The pages of one UFFDIO_COPY at most, when a working set is filled ahead: 2 MiB.
 * PAGER_RUN_PAGES_MAX is at most that.
 */
#define FILL_AHEAD_PAGES 512

/* How many blocks are remembered to have failed. */
#define SUSPECTS 64

/* How many pages are remembered to be unavailable. */
#define UNAVAILABLE 256

/* What a thread that occupies a slot does. */
enum fill_kind {
	FILL_DEMAND, /* reads a page that a thread is blocked on */
	FILL_BACKGROUND, /* reads a page that no thread needs yet */
	FILL_WAITS, /* waits for a page that another thread reads */
};

/*
 * A fill in progress, from watch_begin() to watch_end(); written by its thread.
 * The watch thread polls it, so a stale value only delays a report.
 */
struct fill_slot {
	/* Start of the read or wait; 0: free; UINT64_MAX: between reads. */
	_Atomic uint64_t since_ns;
	_Atomic uint64_t wanted; /* the page that is needed */
	_Atomic uint64_t first; /* the pages that are read */
	_Atomic uint32_t count;
	_Atomic enum fill_kind kind;
	_Atomic pid_t thread; /* its gettid() */
	_Atomic uint64_t reported_ns; /* since_ns of the last report */
	/*
	 * FILL_AHEAD_PAGES pages for UFFDIO_COPY, allocated on first use;
	 * used only by the thread that has the slot.
	 */
	uint8_t *buffer;
	uint8_t apart[PAGER_LINE_BYTES]; /* from the next one */
};

struct pager_thread {
	pthread_t id;
	bool runs; /* started and not joined */
};

/*
 * The thread behind pager_try_fill(): a source that does not answer blocks this
 * thread, not the caller.  All under the pager's lock.
 */
struct fill_worker {
	struct pager_thread thread;
	bool busy; /* with the request below */
	uint64_t page, end; /* what is left of the request */
	int result;
};

/*
 * As many userfaultfd events can be served at once; a thread causes one at a time,
 * so that there is one for every vCPU.
 */
#define UFFD_READERS_MAX FILL_SLOTS

/* The threads of uffd_thread.c, started under the pager's lock. */
struct uffd_readers {
	int timer_fd; /* a timerfd: the leader's fill is slow; -1: closed */
	atomic_uint leader; /* the number of the thread that reads events */
	atomic_uint busy; /* threads that serve an event */
	atomic_bool slow; /* the last one was slow */
	atomic_uint count; /* threads that were started */
	pthread_mutex_t guard_lock; /* for changing guards */
	struct uffd_reader {
		struct pager *pager;
		unsigned int number;
		atomic_bool serves; /* an event */
		struct pager_thread thread;
	} all[UFFD_READERS_MAX];
};

/*
 * @lock guards the trace, @worker, @watch_ends, what a crew takes, the start of
 * userfaultfd threads, and the sleeps on @changed (see event.c).  A fault takes it to
 * write a trace line, for the last page, and to start a thread.
 */
struct pager {
	struct pager_config config; /* its source is in pages, not granules */
	struct memory *memory;
	struct page_source *source; /* of whole granules; owned */
	struct pages pages;
	struct uffd_gate uffd;
	struct pager_lane lanes[PAGER_LANES];
	uint64_t start_ns;
	uint64_t source_pages;

	atomic_bool cancelled;
	/*
	 * pager_start() was called.  Before, the loader itself needs the pages,
	 * and no client can retry: a failure ends the VM.
	 */
	atomic_bool started;
	_Atomic uint32_t retry; /* a futex: the number of pager_retry() calls */
	atomic_uint waiters; /* threads that wait for it */
	atomic_bool stopping; /* a failure that ends the VM was reported */
	struct fill_slot fills[FILL_SLOTS];
	/*
	 * Blocks, numbered from 1, in which a read of several pages failed; their
	 * pages are read one by one.  A hint, the last few that failed.
	 */
	_Atomic uint64_t suspects[SUSPECTS];
	/*
	 * Pages that were reported as unavailable, and since which pager_retry():
	 * other threads that need them wait, and do not read them again.  A hint,
	 * where two pages have one entry.
	 */
	_Atomic uint64_t unavailable[UNAVAILABLE];
	struct log_budget retry_log;

	int wake_fd; /* an eventfd: ends the userfaultfd threads */
	struct uffd_readers uffd_readers;
	struct pager_thread background_thread, watch_thread;
	bool watch_ends; /* the watch thread is to end */
	atomic_bool map_limit_reported;
	struct fill_worker worker;

	/* With config.record: room for every page of the source. */
	uint64_t *recorded;
	_Atomic uint64_t recorded_count;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	FILE *trace; /* NULL: none */
};

/* A need for a page. */
struct pager_need {
	enum pager_cause cause;
	int vcpu; /* -1: none */
	/*
	 * How many pages from the needed one on are to be filled with it, at most
	 * FILL_AHEAD_PAGES; 0: those around it that fault-around chooses.
	 */
	uint32_t ahead;
	struct pager_lane *lane; /* set by pager_fill(); of this thread */
	uint64_t since_ns; /* set by pager_fill() */
	/* Set by pager_fill(): the pages filled by this thread. */
	uint64_t first;
	uint32_t filled;
};

static inline bool pager_is_cancelled(const struct pager *pager)
{
	return atomic_load(&pager->cancelled);
}

/* The number of a need's lane, from which on it looks for a free slot as well. */
static inline unsigned int pager_lane(const struct pager_need *need)
{
	return need->vcpu < 0 ?
		       0 :
		       1 + (unsigned int)need->vcpu % (PAGER_LANES - 1);
}

/*
 * fill.c: makes a page present.  0, -EINTR (a vCPU must check the phase),
 * -ECANCELED, -EIO (reported, except for a background fill).
 */
int pager_fill(struct pager *pager, uint64_t page, struct pager_need *need);
/* Makes pages present one by one, until the first error. */
int pager_fill_range(struct pager *pager, uint64_t first, uint64_t count,
		     enum pager_cause cause);
/* The populator of guest memory; @ctx is the pager. */
int pager_populate(void *ctx, gpa_t gpa, uint64_t len_bytes);

/*
 * crew.c: threads, named @name, which fill parts until none is left or a fill of their
 * own fails.  take: the next part, with the pager's lock; false: none for this thread.
 * fill: makes it present, without the lock; 0 or -errno.
 */
struct pager_crew {
	struct pager *pager;
	const char *name;
	bool (*take)(struct pager_crew *crew, struct page_run *part);
	int (*fill)(struct pager *pager, const struct page_run *part);
	bool failed; /* under the lock: a fill has failed */
};
/* As many threads as @pages are worth, with the caller's: @threads_max at most. */
void pager_crew_run(struct pager_crew *crew, uint64_t pages,
		    unsigned int threads_max);

/* policy.c: one page that is read again and again. */
struct policy_retry {
	uint64_t start_ns;
	uint64_t wait_ns; /* the last delay; 0: none yet */
	bool demand; /* a thread is blocked: the first failure is logged */
};

/* After @page failed with @err: delays and returns true to read it again. */
bool policy_retries(struct pager *pager, struct policy_retry *retry,
		    uint64_t page, int err);
/*
 * Reports that @page is unavailable.  -EIO: the VM ends; under PAGER_PAUSE
 * waits until pager_retry() is called for the time after @seen (pager->retry):
 * -EAGAIN, or -EINTR when a signal comes.
 */
int policy_fail(struct pager *pager, uint64_t page, int err, uint32_t seen);
/*
 * Records that @page failed since the retry @seen, where threads wait for the
 * next; is: whether it did, for whichever thread.
 */
void policy_mark_unavailable(struct pager *pager, uint64_t page, uint32_t seen);
bool policy_is_unavailable(struct pager *pager, uint64_t page, uint32_t seen);
/* Waits for the retry after @seen: -EAGAIN, or -EINTR when a signal comes. */
int policy_wait(struct pager *pager, uint32_t seen);
/*
 * Reports that the source has not answered for @for_ns; @waited_for: a thread
 * is blocked on the page, so the policy applies.
 */
void policy_overdue(struct pager *pager, uint64_t page, uint64_t for_ns,
		    bool waited_for);
/* Whether a read of several pages failed in the block of @page, lately. */
bool policy_is_suspect(struct pager *pager, uint64_t page);
/* Records that one did; the block has POLICY_BLOCK_PAGES. */
void policy_mark_suspect(struct pager *pager, uint64_t first, uint64_t end);
#define POLICY_BLOCK_PAGES 16

/*
 * watch.c: the table of fills in progress.  watch_begin() takes a slot,
 * watch_read() starts its time for one read, watch_answered() stops it until
 * the next, watch_end() frees the slot.
 */
struct fill_slot *watch_begin(struct pager *pager,
			      const struct pager_need *need,
			      enum fill_kind kind, uint64_t page,
			      uint64_t since_ns);
void watch_read(struct fill_slot *slot, uint64_t first, uint32_t count,
		uint64_t now_ns);
void watch_answered(struct fill_slot *slot);
void watch_end(struct fill_slot *slot);
/* Whether a fill that a thread is blocked on is overdue, and reported. */
bool watch_has_overdue(const struct pager *pager);
/* Frees the buffers; no thread fills any more. */
void watch_finish(struct pager *pager);

/* event.c: wakes every thread that sleeps on pager->changed. */
void pager_notify(struct pager *pager);
/* Sleeps until notified or a time; the lock is held. */
void pager_wait_until(struct pager *pager, uint64_t until_ns);
/* Sleeps until a time or cancellation; the lock is not held. */
void pager_sleep_until(struct pager *pager, uint64_t until_ns);
/* Sleeps until all pages are present or cancellation. */
void pager_wait_complete(struct pager *pager);
/* Sleeps while pager->retry is @seen: 0, also when cancelled, or -EINTR. */
int pager_wait_retry(struct pager *pager, uint32_t seen);

/*
 * large.c: has the kernel use large pages for what is not filled yet, or has it
 * merge what is; nothing where --hugepages is against it.
 */
void large_advise(struct pager *pager);
void large_collapse(struct pager *pager);

/* thread.c: starts a thread; -errno, logged. */
int pager_thread_start(struct pager_thread *thread, const char *name,
		       void *(*run)(void *arg), void *arg);
/* Nothing for a thread that does not run. */
void pager_thread_join(struct pager_thread *thread);

/* The threads' functions, each given the pager; pager.c starts and joins them. */
void *background_main(void *arg);
void *watch_main(void *arg);

/*
 * uffd_thread.c: starts the threads, once the gate is open and the pager is
 * complete; -errno, logged.  stop: joins them.
 */
int uffd_threads_start(struct pager *pager);
void uffd_threads_stop(struct pager *pager);
void uffd_threads_finish(struct pager *pager);

/* record.c: the working set and the fault trace, where they are wanted. */
int record_open(struct pager *pager);
/* Counts a fill of @count pages from @first on, of which @page was needed. */
void record_fill(struct pager *pager, const struct pager_need *need,
		 uint64_t first, uint64_t count);
/* Closes the trace, reports one that could not be written, and frees. */
void record_close(struct pager *pager);

#endif
