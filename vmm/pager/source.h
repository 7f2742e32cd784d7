/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A page source: where the contents of absent pages come from.
 *
 * A source knows which runs of pages it holds; every other page of RAM is zero
 * and is never asked for.  read() is called from any thread, also from several
 * at once, each for other pages; it may block, and returns -EINTR when a signal
 * ends its system call.  No lock is held by the caller.
 */
#ifndef VMM_PAGER_SOURCE_H
#define VMM_PAGER_SOURCE_H

#include <stddef.h>
#include <stdint.h>

struct memory;
struct plan;
struct page_source;
struct snap_file;

/* Pages [first, first + count) of RAM. */
struct page_run {
	uint64_t first, count;
};

struct page_source_ops {
	const char *name; /* for statistics and messages */
	/*
	 * Reads @count pages from @page on into @to, every byte of them, or
	 * fails with -errno, silent; all of them lie within one run.  -EBADMSG
	 * says that one of them is damaged: a page for which it is returned
	 * alone is not tried again.
	 */
	int (*read)(struct page_source *source, uint64_t page, uint32_t count,
		    uint8_t *to);
	/*
	 * Makes reads that wait return soon with -ECANCELED, now and from now
	 * on; any thread.  NULL: no read of this source waits.
	 */
	void (*cancel)(struct page_source *source);
	/* In words, where the bytes of @page come from: "initrd". */
	const char *(*describe)(struct page_source *source, uint64_t page);
	void (*destroy)(struct page_source *source);
};

struct page_source {
	const struct page_source_ops *ops;
	struct page_run *runs; /* sorted, apart by at least one page; owned */
	size_t run_count;
};

/* Calls the source's own; NULL is fine. */
void page_source_destroy(struct page_source *source);

/*
 * For the making of a source: adds pages [first, end), none before those that
 * were added already, to its runs; joined to the last one where they meet it.
 * @source->runs has room for one more.
 */
void page_source_add_run(struct page_source *source, uint64_t first,
			 uint64_t end);

/* The index of the first run that ends after @page; run_count: none. */
size_t page_source_search(const struct page_source *source, uint64_t page);

/* The run that holds @page, or NULL. */
const struct page_run *page_source_find(const struct page_source *source,
					uint64_t page);

/*
 * A source of what @plan says, over the layout of @memory; the plan's segments
 * move into the source, and the plan is empty afterwards.  -EFAULT, logged, for
 * a segment outside RAM.
 */
int source_plan_create(struct page_source **source, struct plan *plan,
		       const struct memory *memory);

/*
 * A source over the pages of a snapshot, each checked against its checksum as it
 * is read.  @file stays the caller's and outlives the source.  -ENOMEM, logged.
 */
int source_snapshot_create(struct page_source **source,
			   const struct snap_file *file);

/*
 * A source over @inner, which it owns, whose runs and reads are of whole granules
 * (struct memory): what @inner does not hold of one is zero.  @inner itself where
 * a granule is one page.  -ENOMEM, logged; @inner is destroyed then.
 */
int source_granule_create(struct page_source **source,
			  struct page_source *inner, uint32_t granule_pages);

/*
 * A source that passes on another, which it owns, and does what @spec says to
 * it on the way; for tests.  The words of @spec, separated by commas:
 *
 *	delay=MS	every read takes so much longer
 *	jitter=US	every read takes up to so much longer, at random
 *	while=FILE	every read fails while there is a file of that name
 *	short@PAGE	a read of PAGE gives half of its bytes and fails
 *	short=N@PAGE	the first N reads of PAGE do
 *	once@PAGE	the first read of PAGE fails
 *	always@PAGE	every read of PAGE fails
 *	never@PAGE	a read of PAGE does not return before a signal comes
 *
 * PAGE is a page number of RAM, the name that the inner source has for the page
 * ("initrd"), or "any"; the first three may have one, too (delay=MS@PAGE).
 * -EINVAL, logged, for other words; the inner source is destroyed then.
 */
int source_inject_create(struct page_source **source, struct page_source *inner,
			 const char *spec);

#endif
