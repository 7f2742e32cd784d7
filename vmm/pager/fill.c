/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filling a page: the only path on which one becomes present.
 *
 *	claim		the page, and its absent neighbours in the same run of
 *			the source (fault-around)
 *	read		them from the source, or check them where memory is
 *			mapped from its file; on failure the page alone, with
 *			retries until the deadline (policy.c)
 *	install		by userfaultfd where it covers them; else they are in
 *			place
 *	publish		clear KVM's bits, mark the pages present, wake waiters
 *
 * The file has the entry points first, then the steps in this order.
 *
 * Runs on the thread that needs the page: a vCPU's own, for a userfault exit.
 * No lock is taken, except to write a trace line and after the last page.  A
 * page is whole before it becomes visible: in place, the bitmap and the page
 * states stop every access, and UFFDIO_COPY installs whole pages.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "vmm/base/clock.h"
#include "vmm/pager/private.h"

/* Pages that this thread has claimed: whole granules. */
struct claim {
	uint64_t first;
	uint32_t count;
};

static int fill_page(struct pager *pager, uint64_t page,
		     struct pager_need *need);
static struct claim alone(const struct pager *pager, uint64_t page);
static int fill_claimed(struct pager *pager, uint64_t page,
			struct pager_need *need);
static struct claim claim_around(struct pager *pager, uint64_t page,
				 uint32_t ahead);
static int read_and_install(struct pager *pager, struct claim *claim,
			    uint64_t page, const struct pager_need *need);
static void publish(struct pager *pager, const struct claim *claim);

int pager_vcpu_fault(struct pager *pager, unsigned int vcpu, gpa_t gpa,
		     struct memory_range *filled)
{
	const struct memory_region *region =
		memory_find(pager->memory, gpa, PAGE_BYTES);
	struct pager_need need = { .cause = PAGER_CAUSE_VCPU,
				   .vcpu = (int)vcpu };
	int r;

	*filled = (struct memory_range){ 0 };
	if (!region)
		return -EFAULT;
	r = pager_fill(pager, memory_page(region, gpa), &need);
	if (r == 0 && need.filled)
		*filled = (struct memory_range){
			memory_page_gpa(pager->memory, need.first),
			need.filled * PAGE_BYTES,
		};
	return r;
}

int pager_populate(void *ctx, gpa_t gpa, uint64_t len_bytes)
{
	struct pager *pager = ctx;
	const struct memory_region *region =
		memory_find(pager->memory, gpa, len_bytes);
	uint64_t first = memory_page(region, gpa);
	uint64_t last = memory_page(region, gpa + len_bytes - 1);
	int r = pager_fill_range(pager, first, last - first + 1,
				 PAGER_CAUSE_DEVICE);

	return r < 0 ? -EIO : 0;
}

int pager_fill_range(struct pager *pager, uint64_t first, uint64_t count,
		     enum pager_cause cause)
{
	for (uint64_t page = first; page < first + count; page++) {
		struct pager_need need = { .cause = cause, .vcpu = -1 };
		int r;

		if (pages_is_present(&pager->pages, page))
			continue;
		r = pager_fill(pager, page, &need);
		if (r < 0)
			return r;
	}
	return 0;
}

int pager_fill(struct pager *pager, uint64_t page, struct pager_need *need)
{
	bool demand = need->cause != PAGER_CAUSE_BACKGROUND;
	int r;

	need->lane = &pager->lanes[pager_lane(need)];
	need->since_ns = clock_now_ns();
	need->filled = 0;
	/*
	 * The machine is ending because of an unavailable page.  While a signal
	 * is pending for a vCPU whose fault KVM retries, userfaultfd reports the
	 * same page again and again; do not read it each time.
	 */
	if (need->cause == PAGER_CAUSE_UFFD && atomic_load(&pager->stopping))
		return -EIO;
	if (demand)
		atomic_fetch_add(&need->lane->demand, 1);
	r = fill_page(pager, page, need);
	if (demand)
		atomic_fetch_sub(&need->lane->demand, 1);
	return r;
}

bool pager_has_demand(const struct pager *pager)
{
	bool demand = false;

	for (unsigned int i = 0; i < PAGER_LANES && !demand; i++)
		demand = atomic_load(&pager->lanes[i].demand) != 0;
	return demand;
}

/* Waits for a page that another thread fills; @since_ns: of the first wait. */
static void wait_for_other(struct pager *pager, uint64_t page,
			   const struct pager_need *need, uint64_t since_ns)
{
	struct fill_slot *slot = NULL;

	if (need->cause != PAGER_CAUSE_BACKGROUND)
		slot = watch_begin(pager, need, FILL_WAITS, page, since_ns);
	pages_wait(&pager->pages, page);
	if (slot)
		watch_end(slot);
}

/* Counts a page that this thread did not have to fill. */
static void count_present(struct pager_counters *counters,
			  enum pager_cause cause, bool waited)
{
	count_add(waited ? &counters->waited[cause] : &counters->already[cause],
		  1);
}

/* Claims and fills a page, or waits until another thread has. */
static int fill_page(struct pager *pager, uint64_t page,
		     struct pager_need *need)
{
	uint64_t since_ns = 0;
	bool waited = false;

	while (!pager_is_cancelled(pager)) {
		int r;

		switch (pages_claim(&pager->pages, page)) {
		case PAGES_PRESENT:
			count_present(&need->lane->counters, need->cause,
				      waited);
			return 0;
		case PAGES_BUSY:
			waited = true;
			since_ns = since_ns ? since_ns : clock_now_ns();
			wait_for_other(pager, page, need, since_ns);
			break;
		case PAGES_CLAIMED:
			since_ns = 0;
			r = fill_claimed(pager, page, need);
			/* Only a vCPU has a phase to check when kicked. */
			if (r == -EINTR && need->cause != PAGER_CAUSE_VCPU)
				break;
			if (r != -EAGAIN)
				return r;
		}
	}
	return -ECANCELED;
}

/*
 * The steps, for a page that this thread has claimed.  -EAGAIN: it is absent
 * again, and the fill is to be retried.
 */
static int fill_claimed(struct pager *pager, uint64_t page,
			struct pager_need *need)
{
	bool background = need->cause == PAGER_CAUSE_BACKGROUND;
	uint32_t seen = atomic_load(&pager->retry);
	struct claim claim;
	int r;

	if (!background && policy_is_unavailable(pager, page, seen)) {
		claim = alone(pager, page);
		pages_release(&pager->pages, claim.first, claim.count);
		return policy_wait(pager, seen);
	}
	claim = claim_around(pager, page, need->ahead);
	r = read_and_install(pager, &claim, page, need);
	if (r == 0) {
		need->first = claim.first;
		need->filled = claim.count;
		/* Before publish(): a thread that sees the page sees the counts. */
		record_fill(pager, need, claim.first, claim.count);
		publish(pager, &claim);
		return 0;
	}
	/* At the end a gate may be closed already, which is no failure. */
	if (pager_is_cancelled(pager))
		r = -ECANCELED;
	/* Before the release: the next thread is not to read it again. */
	if (r != -ECANCELED && !background)
		policy_mark_unavailable(pager, page, seen);
	pages_release(&pager->pages, claim.first, claim.count);
	if (r == -ECANCELED)
		return -ECANCELED;
	return background ? -EIO : policy_fail(pager, page, -r, seen);
}

/* The claim of @page's granule alone. */
static struct claim alone(const struct pager *pager, uint64_t page)
{
	uint32_t granule = pager->memory->granule_pages;

	return (struct claim){ align_down(page, granule), granule };
}

/*
 * How many pages around @page are read at once: an aligned block of 16, doubled
 * while the page before the block is present.  So sequential faults double the
 * block, and random ones do not.  The source holds nothing before @first.  In a
 * block where a read has failed, granules are read one by one.
 */
static uint64_t block_pages(struct pager *pager, uint64_t page, uint64_t first)
{
	uint64_t most = pager->config.run_pages;
	uint64_t block = max_u64(min_u64(most, POLICY_BLOCK_PAGES),
				 pager->memory->granule_pages);

	if (policy_is_suspect(pager, page))
		return pager->memory->granule_pages;
	while (block < most && align_down(page, block) > first &&
	       pages_is_present(&pager->pages, align_down(page, block) - 1))
		block *= 2;
	return block;
}

/* What is read with @page, before its run and region are looked at. */
static struct page_run wanted_around(struct pager *pager, uint64_t page,
				     uint32_t ahead, uint64_t first)
{
	uint64_t block;

	/* Whole granules of a buffer's size: the page may be within one. */
	if (ahead && !policy_is_suspect(pager, page)) {
		uint32_t granule = pager->memory->granule_pages;
		uint64_t begin = align_down(page, granule);
		uint64_t count = align_up(page + ahead, granule) - begin;

		return (struct page_run){ begin,
					  min_u64(count, FILL_AHEAD_PAGES) };
	}
	block = block_pages(pager, page, first);
	return (struct page_run){ align_down(page, block), block };
}

/*
 * Step 1: extends the claim of @page's granule to its neighbours, within the block
 * or what is wanted ahead, the run of the source and the region of memory, up to
 * the first granule that is not absent.
 */
static struct claim claim_around(struct pager *pager, uint64_t page,
				 uint32_t ahead)
{
	const struct page_run *run = page_source_find(pager->source, page);
	const struct memory_region *region =
		memory_region_of_page(pager->memory, page);
	uint64_t begin = region->offset_bytes / PAGE_BYTES;
	uint64_t end = begin + region->size_bytes / PAGE_BYTES;
	uint64_t first = max_u64(run->first, begin);
	struct page_run want = wanted_around(pager, page, ahead, first);
	uint64_t low = max_u64(want.first, first);
	uint64_t high = min_u64(min_u64(want.first + want.count,
					run->first + run->count),
				end);
	uint32_t granule = pager->memory->granule_pages;
	struct claim claim = alone(pager, page);

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

/*
 * Where a claim is read to: in place, or to the slot's buffer where userfaultfd
 * is to install it.  NULL: no memory.
 */
static uint8_t *read_to(struct pager *pager, const struct claim *claim,
			struct fill_slot *slot)
{
	assert(claim->count <= FILL_AHEAD_PAGES);
	if (!uffd_gate_covers(&pager->uffd, claim->first))
		return memory_page_hva(pager->memory, claim->first);
	if (!slot->buffer)
		slot->buffer = malloc(FILL_AHEAD_PAGES * PAGE_BYTES);
	return slot->buffer;
}

/*
 * Checks a claim in the mapping of the source's file.  The host kernel loads the
 * pages first: when it cannot, that is an error here, and no SIGBUS.
 */
static int check_in_place(struct pager *pager, const struct claim *claim,
			  uint8_t *at)
{
	int r = memory_load_mapped(pager->memory, claim->first, claim->count);

	return r < 0 ? r :
		       pager->source->ops->check(pager->source, claim->first,
						 claim->count, at);
}

/* One read of the source, without retries. */
static int read_once(struct pager *pager, const struct claim *claim,
		     struct fill_slot *slot, uint8_t **to)
{
	int r;

	watch_read(slot, claim->first, claim->count, clock_now_ns());
	*to = read_to(pager, claim, slot);
	if (!*to)
		return -ENOMEM;
	if (pager->memory->backing == MEMORY_FILE)
		r = check_in_place(pager, claim, *to);
	else
		r = pager->source->ops->read(pager->source, claim->first,
					     claim->count, *to);
	if (r < 0)
		watch_answered(slot);
	return r < 0 && pager_is_cancelled(pager) ? -ECANCELED : r;
}

/*
 * After a failure of several granules: releases all but @page's, so that an
 * error in a neighbour is not charged to this page.
 */
static void narrow(struct pager *pager, struct claim *claim, uint64_t page)
{
	struct claim kept = alone(pager, page);
	uint64_t end = claim->first + claim->count;
	uint64_t after = kept.first + kept.count;

	policy_mark_suspect(pager, claim->first, end);
	pages_release(&pager->pages, claim->first, kept.first - claim->first);
	pages_release(&pager->pages, after, end - after);
	*claim = kept;
	count_add(&pager->lanes[0].counters.retries, 1);
}

/* Step 2: reads a claim; after a failure @page's granule alone, by policy. */
static int read_claim(struct pager *pager, struct claim *claim, uint64_t page,
		      struct fill_slot *slot, uint8_t **to,
		      struct pager_counters *counters)
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
	count_add(&counters->read_ns, clock_now_ns() - retry.start_ns);
	return r;
}

/* Steps 2 and 3; the claim may become smaller. */
static int read_and_install(struct pager *pager, struct claim *claim,
			    uint64_t page, const struct pager_need *need)
{
	bool background = need->cause == PAGER_CAUSE_BACKGROUND;
	struct fill_slot *slot =
		watch_begin(pager, need,
			    background ? FILL_BACKGROUND : FILL_DEMAND, page,
			    clock_now_ns());
	uint8_t *data = NULL;
	int r;

	r = read_claim(pager, claim, page, slot, &data, &need->lane->counters);
	if (r == 0 && data == slot->buffer)
		r = uffd_gate_copy(&pager->uffd, claim->first, claim->count,
				   data);
	watch_end(slot);
	return r;
}

/* Step 4: makes a claim visible. */
static void publish(struct pager *pager, const struct claim *claim)
{
	bitmap_clear(pager->memory, claim->first, claim->count);
	/* The last page: the background thread retires the gates. */
	if (pages_publish(&pager->pages, claim->first, claim->count))
		pager_notify(pager);
}
