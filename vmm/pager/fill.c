/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one path on which a page becomes present.
 *
 *	claim		the page, and its absent neighbours in the same run of
 *			the source, up to a bound
 *	read		them from the source; when that fails the page alone,
 *			with retries until the deadline (policy.c)
 *	install		by userfaultfd where it covers them, else in place
 *	publish		clear KVM's bits, then mark them present and wake losers
 *
 * Runs on whatever thread needs the page: a vCPU's own, for a userfault exit.
 * No lock is taken.  The page is whole before anybody can see it: in place
 * nobody passes the bitmap and the states, and UFFDIO_COPY installs a whole
 * page at once.
 */
#include <errno.h>
#include <stdlib.h>

#include "vmm/base/clock.h"
#include "vmm/pager/private.h"

/* How many pages come where nothing is known of who asks. */
#define RUN_PAGES_FIRST 16

/* Pages that this thread has claimed, whole granules of them. */
struct claim {
	uint64_t first;
	uint32_t count;
};

/* The place of a block of the smallest size among the suspects. */
static _Atomic uint64_t *suspect_of(struct pager *pager, uint64_t page)
{
	return &pager->suspects[page / RUN_PAGES_FIRST % SUSPECTS];
}

/* Remembers that a read of several pages of a block has failed. */
static void mark_suspect(struct pager *pager, uint64_t page)
{
	atomic_store(suspect_of(pager, page), page / RUN_PAGES_FIRST + 1);
}

/* Whether one has. */
static bool is_suspect(struct pager *pager, uint64_t page)
{
	return atomic_load(suspect_of(pager, page)) ==
	       page / RUN_PAGES_FIRST + 1;
}

/*
 * How many pages around @page are read at once: an aligned block of 16, and
 * twice as much as long as the page before the block is present.  So sequential
 * faults double the block, and random ones do not.  The source holds nothing
 * before @first.  Where a read has failed, granules are read one by one.
 */
static uint64_t block_pages(struct pager *pager, uint64_t page, uint64_t first)
{
	uint64_t most = pager->config.run_pages;
	uint64_t block = max_u64(min_u64(most, RUN_PAGES_FIRST),
				 pager->memory->granule_pages);

	if (is_suspect(pager, page))
		return pager->memory->granule_pages;
	while (block < most && align_down(page, block) > first &&
	       pages_is_present(&pager->pages, align_down(page, block) - 1))
		block *= 2;
	return block;
}

/*
 * Grows the claim of @page's granule to its neighbours: within the block that
 * holds it, within the run of the source and the region of memory, up to the
 * first granule that is not absent.
 */
static struct claim claim_around(struct pager *pager, uint64_t page)
{
	const struct page_run *run = page_source_find(pager->source, page);
	const struct memory_region *region =
		memory_region_of_page(pager->memory, page);
	uint64_t begin = region->offset_bytes / PAGE_BYTES;
	uint64_t end = begin + region->size_bytes / PAGE_BYTES;
	uint64_t first = max_u64(run->first, begin);
	uint64_t block = block_pages(pager, page, first);
	uint64_t low = max_u64(align_down(page, block), first);
	uint64_t high = min_u64(min_u64(align_down(page, block) + block,
					run->first + run->count),
				end);
	uint32_t granule = pager->memory->granule_pages;
	struct claim claim = { align_down(page, granule), granule };

	while (claim.first > low &&
	       pages_claim(&pager->pages, claim.first - 1) == PAGES_CLAIMED) {
		claim.first -= granule;
		claim.count += granule;
	}
	while (claim.first + claim.count < high &&
	       pages_claim(&pager->pages, claim.first + claim.count) ==
		       PAGES_CLAIMED)
		claim.count += granule;
	return claim;
}

/* Where a page of RAM is in our own mapping. */
static uint8_t *page_hva(const struct pager *pager, uint64_t page)
{
	const struct memory_region *region =
		memory_region_of_page(pager->memory, page);

	return region->hva + (page * PAGE_BYTES - region->offset_bytes);
}

/* Where a claim is read to: in place, or aside for userfaultfd to install. */
static uint8_t *read_to(struct pager *pager, const struct claim *claim,
			struct fill_slot *slot)
{
	if (!uffd_gate_covers(&pager->uffd, claim->first))
		return page_hva(pager, claim->first);
	if (!slot->buffer)
		slot->buffer = malloc(PAGER_RUN_PAGES_MAX * PAGE_BYTES);
	return slot->buffer;
}

/* Reads a claim once. */
static int read_once(struct pager *pager, const struct claim *claim,
		     struct fill_slot *slot, uint8_t **to)
{
	int r;

	watch_read(slot, claim->first, claim->count, clock_now_ns());
	*to = read_to(pager, claim, slot);
	if (!*to)
		return -ENOMEM;
	r = pager->source->ops->read(pager->source, claim->first, claim->count,
				     *to);
	return r < 0 && pager_is_cancelled(pager) ? -ECANCELED : r;
}

/*
 * After a failure of several granules: gives the neighbours of @page's back, so
 * that an error in one of them is not charged to this one.
 */
static void narrow(struct pager *pager, struct claim *claim, uint64_t page)
{
	uint32_t granule = pager->memory->granule_pages;
	struct claim alone = { align_down(page, granule), granule };
	uint64_t end = claim->first + claim->count;
	uint64_t after = alone.first + granule;

	for (uint64_t at = align_down(claim->first, RUN_PAGES_FIRST); at < end;
	     at += RUN_PAGES_FIRST)
		mark_suspect(pager, at);
	pages_release(&pager->pages, claim->first, alone.first - claim->first);
	pages_release(&pager->pages, after, end - after);
	*claim = alone;
	count_add(&pager->counters.retries, 1);
}

/*
 * Reads a claim; when that fails the page's granule alone, again and again as
 * the policy says.
 */
static int read_claim(struct pager *pager, struct claim *claim, uint64_t page,
		      struct fill_slot *slot, uint8_t **to)
{
	struct policy_retry retry = {
		.start_ns = clock_now_ns(),
		.demand = atomic_load(&slot->kind) == FILL_DEMAND,
	};
	int r;

	while ((r = read_once(pager, claim, slot, to)) < 0) {
		if (claim->count > pager->memory->granule_pages &&
		    r != -EINTR && r != -ECANCELED)
			narrow(pager, claim, page);
		else if (!policy_retries(pager, &retry, page, -r))
			break;
	}
	count_add(&pager->counters.read_ns, clock_now_ns() - retry.start_ns);
	return r;
}

/* Reads and installs a claim. */
static int fill_claim(struct pager *pager, struct claim *claim, uint64_t page,
		      enum fill_kind kind)
{
	struct fill_slot *slot = watch_begin(pager, kind, page, clock_now_ns());
	uint8_t *data = NULL;
	int r = read_claim(pager, claim, page, slot, &data);

	if (r == 0 && data == slot->buffer)
		r = uffd_gate_copy(&pager->uffd, claim->first, claim->count,
				   data);
	watch_end(slot);
	return r;
}

/* Makes a filled claim visible. */
static void publish(struct pager *pager, const struct claim *claim)
{
	bitmap_clear(pager->memory, claim->first, claim->count);
	pages_publish(&pager->pages, claim->first, claim->count);
	if (atomic_load(&pager->pages.absent) == 0)
		background_last_page(pager);
}

/* Counts a fill that is done. */
static void account(struct pager *pager, const struct pager_need *need,
		    const struct claim *claim)
{
	struct pager_counters *c = &pager->counters;
	uint64_t now = clock_now_ns();

	count_add(&c->faults[need->cause], 1);
	count_add(&c->pages[need->cause], claim->count);
	if (need->cause != PAGER_CAUSE_BACKGROUND)
		counters_stall(c, now - need->since_ns, now - pager->start_ns);
	if (pager->trace)
		trace_fault(pager, need, claim->first, claim->count, now);
}

/*
 * Remembers that a page was asked for, or which of its granule the source has;
 * each is filled once, so there is room.
 */
static void record(struct pager *pager, const struct pager_need *need,
		   uint64_t page)
{
	uint64_t n = align_down(page, pager->memory->granule_pages);
	uint64_t end = n + pager->memory->granule_pages;

	if (!pager->recorded || need->cause == PAGER_CAUSE_BACKGROUND)
		return;
	for (; n < end; n++)
		if (page_source_find(pager->config.source, n))
			pager->recorded[atomic_fetch_add(&pager->recorded_count,
							 1)] = n;
}

/*
 * Fills the page, which this thread has claimed.  -EAGAIN: it is absent again,
 * and may be tried again.
 */
static int fill_claimed(struct pager *pager, uint64_t page,
			struct pager_need *need)
{
	struct claim claim = claim_around(pager, page);
	uint32_t seen = atomic_load(&pager->retry);
	int r = fill_claim(pager, &claim, page,
			   need->cause == PAGER_CAUSE_BACKGROUND ?
				   FILL_BACKGROUND :
				   FILL_DEMAND);

	if (r == 0) {
		need->filled = claim.count;
		record(pager, need, page);
		/* Counted first: who sees the page may look at the figures. */
		account(pager, need, &claim);
		publish(pager, &claim);
		return 0;
	}
	pages_release(&pager->pages, claim.first, claim.count);
	/* At the end a gate that is closed already is no failure. */
	if (r == -ECANCELED || pager_is_cancelled(pager))
		return -ECANCELED;
	if (need->cause == PAGER_CAUSE_BACKGROUND)
		return -EIO;
	r = policy_fail(pager, page, -r);
	if (r == -EAGAIN && policy_wait(pager, seen) < 0)
		return -EINTR;
	return r;
}

/* Waits for a page that another thread fills, since @since. */
static void wait_for_other(struct pager *pager, uint64_t page,
			   const struct pager_need *need, uint64_t since)
{
	struct fill_slot *slot = NULL;

	if (need->cause != PAGER_CAUSE_BACKGROUND)
		slot = watch_begin(pager, FILL_WAITS, page, since);
	pages_wait(&pager->pages, page);
	if (slot)
		watch_end(slot);
}

/* Makes a page present, whoever fills it. */
static int fill_page(struct pager *pager, uint64_t page,
		     struct pager_need *need)
{
	uint64_t since = 0;
	bool waited = false;

	while (!pager_is_cancelled(pager)) {
		int r;

		switch (pages_claim(&pager->pages, page)) {
		case PAGES_PRESENT:
			count_add(waited ?
					  &pager->counters.waited[need->cause] :
					  &pager->counters.already[need->cause],
				  1);
			return 0;
		case PAGES_BUSY:
			waited = true;
			since = since ? since : clock_now_ns();
			wait_for_other(pager, page, need, since);
			break;
		case PAGES_CLAIMED:
			since = 0;
			r = fill_claimed(pager, page, need);
			/* Only a vCPU has something to look at when kicked. */
			if (r == -EINTR && need->cause != PAGER_CAUSE_VCPU)
				break;
			if (r != -EAGAIN)
				return r;
		}
	}
	return -ECANCELED;
}

/* The one path. */
int pager_fill(struct pager *pager, uint64_t page, struct pager_need *need)
{
	bool demand = need->cause != PAGER_CAUSE_BACKGROUND;
	int r;

	need->since_ns = clock_now_ns();
	need->filled = 0;
	/*
	 * The machine ends for a page that failed.  While a signal waits for a
	 * vCPU that KVM lets try again, userfaultfd tells of that page without
	 * end; the source has said what is wrong, and is not asked each time.
	 */
	if (need->cause == PAGER_CAUSE_UFFD && atomic_load(&pager->stopping))
		return -EIO;
	if (demand)
		atomic_fetch_add(&pager->demand, 1);
	r = fill_page(pager, page, need);
	if (demand)
		atomic_fetch_sub(&pager->demand, 1);
	return r;
}
