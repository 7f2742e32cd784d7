/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A page source: where the contents of absent pages come from.
 *
 * A source knows which runs of pages it holds; every other page of RAM is zero
 * and is never read.  read() and check() are called from any thread, also from
 * several at once, each for other pages; they may block, and return -EINTR when
 * a signal ends their system call.  No lock is held by the caller.
 */
#ifndef VMM_PAGER_SOURCE_H
#define VMM_PAGER_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/base/run.h"

struct memory;
struct plan;
struct page_source;
struct snap_file;
struct snap_layout;

struct page_source_ops {
	const char *name; /* for statistics and messages */
	/*
	 * Reads all of @count pages from @page on, which lie within one run,
	 * into @to.  -errno, silent; -EBADMSG: one of them is corrupt.  A single
	 * page that is corrupt is not read again.
	 */
	int (*read)(struct page_source *source, uint64_t page, uint32_t count,
		    uint8_t *to);
	/*
	 * Checks @count pages that guest memory maps from the source's files, in
	 * the mapping, @at: the same as a read, without a copy.  Pages that no
	 * run holds, but a mapping covers, must be zero in its file.  What KVM
	 * itself has written to the mapping is no difference.  NULL: the source
	 * has no file.
	 */
	int (*check)(struct page_source *source, uint64_t page, uint32_t count,
		     const uint8_t *at);
	/*
	 * Makes reads that block, those in progress and all later ones, return
	 * -ECANCELED; any thread.  NULL: a read blocks in system calls only,
	 * which the watch thread interrupts by its kicks.
	 */
	void (*cancel)(struct page_source *source);
	/* A name for where @page comes from, for messages: "initrd". */
	const char *(*describe)(struct page_source *source, uint64_t page);
	void (*destroy)(struct page_source *source);
};

struct page_source {
	const struct page_source_ops *ops;
	struct page_run
		*runs; /* of pages of RAM; sorted, not adjacent; owned */
	size_t run_count;
};

/* Destroys it; NULL has no effect. */
void page_source_destroy(struct page_source *source);

/*
 * For a source's constructor: adds the run [first, end), which does not start
 * before the last one, and is joined to it where they meet.  @source->runs has
 * room for one more.
 */
void page_source_add_run(struct page_source *source, uint64_t first,
			 uint64_t end);

/* The index of the first run that ends after @page; run_count: none. */
size_t page_source_search(const struct page_source *source, uint64_t page);

/* The run that holds @page, or NULL. */
const struct page_run *page_source_find(const struct page_source *source,
					uint64_t page);

/*
 * A source over a load plan, in the layout of @memory; the plan's segments
 * move into the source, and the plan is empty afterwards.  -EFAULT, logged, for
 * a segment outside RAM.
 */
int source_plan_create(struct page_source **source, struct plan *plan,
		       const struct memory *memory);

/*
 * A source over the pages of a snapshot, each checked against its checksum as it
 * is read.  @layout: how memory is mapped from its files; NULL: it is not, and
 * nothing is checked in place.  Both stay the caller's and outlive the source.
 * -ENOMEM, logged.
 */
int source_snapshot_create(struct page_source **source,
			   const struct snap_file *file,
			   const struct snap_layout *layout);

/*
 * A source over @inner, which it owns, in the units of @memory: its runs and
 * reads are whole granules, and where memory is mapped from a file, its runs are
 * those of the mapping.  Pages in them that @inner does not hold are zero.
 * Returns @inner itself where that changes nothing.  -ENOMEM, logged; @inner is
 * destroyed then.
 */
int source_wide_create(struct page_source **source, struct page_source *inner,
		       const struct memory *memory);

/*
 * Fault injection, for tests: a source over @inner, which it owns, whose reads
 * are delayed or fail.  The rules in @spec, separated by commas:
 *
 *	delay=MS	every read takes MS longer
 *	jitter=US	every read takes up to US longer, at random
 *	while=FILE	every read fails while FILE exists
 *	short@PAGE	a read of PAGE gives half of its bytes and fails
 *	short=N@PAGE	the same for the first N reads of PAGE
 *	once@PAGE	the first read of PAGE fails
 *	always@PAGE	every read of PAGE fails
 *	never@PAGE	a read of PAGE blocks until a signal comes
 *
 * PAGE is a page number of RAM, the name that describe() of @inner returns
 * ("initrd"), or "any"; the first three take it as well (delay=MS@PAGE).
 * -EINVAL, logged, for another rule; @inner is destroyed then.
 */
int source_inject_create(struct page_source **source, struct page_source *inner,
			 const char *spec);

#endif
