/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one path on which a page becomes present.
 *
 *	claim		the page, and its absent neighbours in the same run of
 *			the source, up to a bound
 *	read		them from the source, with retries until the deadline
 *	install		by userfaultfd where it covers them, else in place
 *	publish		clear KVM's bits, then mark them present and wake losers
 *
 * Runs on whatever thread needs the page: a vCPU's own, for a userfault exit.
 * No lock is taken.  The page is whole before anybody can see it: in place
 * nobody passes the bitmap and the states, and UFFDIO_COPY installs a whole
 * page at once.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/pager/private.h"

#define RETRY_FIRST_NS (UINT64_C(1) * 1000 * 1000)
#define RETRY_LAST_NS  (UINT64_C(200) * 1000 * 1000)

/* How many pages come where nothing is known of who asks. */
#define RUN_PAGES_FIRST 16

/* Pages that this thread has claimed, whole granules of them. */
struct claim {
	uint64_t first;
	uint32_t count;
};

/* Whether the pager is at its end. */
static bool cancelled(const struct pager *pager)
{
	return atomic_load(&pager->cancelled);
}

/*
 * How many pages around @page are read at once: an aligned block of 16, and
 * twice as much as long as the page before the block has come already.  So who
 * walks through memory is served in ever larger pieces, and who jumps is not.
 * Before @first there is nothing to come.
 */
static uint64_t block_pages(const struct pager *pager, uint64_t page,
			    uint64_t first)
{
	uint64_t most = pager->config.run_pages;
	uint64_t block = max_u64(min_u64(most, RUN_PAGES_FIRST),
				 pager->memory->granule_pages);

	while (block < most && align_down(page, block) > first &&
	       pages_is_present(&pager->pages, align_down(page, block) - 1))
		block *= 2;
	return block;
}

/*
 * Grows the claim of @page's granule to its neighbours: within the block that
 * holds it, within the run of the source and the region of memory, up to the
 * first granule that somebody else has or had.
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

/* Enters a fill for the watch; NULL when all places are taken. */
static struct fill_slot *watch_begin(struct pager *pager,
				     const struct claim *claim,
				     enum fill_kind kind, uint64_t now)
{
	for (unsigned int i = 0; i < WATCH_SLOTS; i++) {
		struct fill_slot *slot =
			&pager->fills[(claim->first + i) % WATCH_SLOTS];
		uint64_t none = 0;

		if (!atomic_compare_exchange_strong(&slot->since_ns, &none,
						    now))
			continue;
		atomic_store(&slot->page, claim->first);
		atomic_store(&slot->count, claim->count);
		atomic_store(&slot->kind, kind);
		return slot;
	}
	return NULL;
}

/* Ends it. */
static void watch_end(struct fill_slot *slot)
{
	if (slot)
		atomic_store(&slot->since_ns, 0);
}

/* Sleeps between two tries; a signal ends it early, and that is fine. */
static void back_off(uint64_t ns)
{
	struct timespec t = { 0, (long)ns };

	nanosleep(&t, NULL);
}

/* Reads a claim, again and again until the deadline. */
static int read_claim(struct pager *pager, const struct claim *claim,
		      enum fill_kind kind, uint8_t *to)
{
	uint64_t start = clock_now_ns(), pause_ns = RETRY_FIRST_NS;
	struct fill_slot *slot = watch_begin(pager, claim, kind, start);
	int r;

	for (;;) {
		r = pager->source->ops->read(pager->source, claim->first,
					     claim->count, to);
		if (r == 0)
			break;
		if (cancelled(pager)) {
			r = -ECANCELED;
			break;
		}
		if (r == -EBADMSG ||
		    clock_now_ns() - start >= pager->config.deadline_ns)
			break;
		if (r == -EINTR)
			continue;
		count_add(&pager->counters.retries, 1);
		back_off(pause_ns);
		pause_ns = min_u64(2 * pause_ns, RETRY_LAST_NS);
	}
	watch_end(slot);
	count_add(&pager->counters.read_ns, clock_now_ns() - start);
	return r;
}

/* Where a page of RAM is in our own mapping. */
static uint8_t *page_hva(const struct pager *pager, uint64_t page)
{
	const struct memory_region *region =
		memory_region_of_page(pager->memory, page);

	return region->hva + (page * PAGE_BYTES - region->offset_bytes);
}

/* Reads a claim aside, and has userfaultfd install it. */
static int fill_aside(struct pager *pager, const struct claim *claim,
		      enum fill_kind kind)
{
	uint8_t pages[PAGER_RUN_PAGES_MAX * PAGE_BYTES];
	int r = read_claim(pager, claim, kind, pages);

	if (r < 0)
		return r;
	return uffd_gate_copy(&pager->uffd, claim->first, claim->count, pages);
}

/* Reads and installs a claim. */
static int fill_claim(struct pager *pager, const struct claim *claim,
		      enum fill_kind kind)
{
	if (uffd_gate_covers(&pager->uffd, claim->first))
		return fill_aside(pager, claim, kind);
	return read_claim(pager, claim, kind, page_hva(pager, claim->first));
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

/* The address of a page in the guest, for messages. */
unsigned long long pager_page_gpa(const struct pager *pager, uint64_t page)
{
	const struct memory_region *region =
		memory_region_of_page(pager->memory, page);

	return region->gpa + (page * PAGE_BYTES - region->offset_bytes);
}

/* Says that a page cannot be had, and does what the policy says. */
static int fail(struct pager *pager, uint64_t page, int err)
{
	bool stop = pager_stops(pager);

	count_add(&pager->counters.failures, 1);
	if (pager_tells(pager, stop) && err != EBADMSG)
		log_errno(err,
			  "guest memory at 0x%llx: %s (%s) cannot be read%s",
			  pager_page_gpa(pager, page),
			  pager->source->ops->describe(pager->source, page),
			  pager->source->ops->name,
			  stop ? "; the guest stops" :
				 "; the guest waits for \"go-on\"");
	if (pager->config.failed)
		pager->config.failed(pager->config.ctx,
				     stop ? PAGER_STOP : PAGER_PAUSE);
	return stop ? -EIO : -EAGAIN;
}

/*
 * Waits until pager_go_on(), from the number @seen on; -EINTR when a signal
 * comes, as a kick of a vCPU.
 */
static int wait_to_go_on(struct pager *pager, uint32_t seen)
{
	int r = 0;

	atomic_fetch_add(&pager->stuck, 1);
	while (r == 0 && !cancelled(pager) &&
	       atomic_load(&pager->go_on) == seen) {
		if (syscall(SYS_futex, (void *)&pager->go_on,
			    FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0) < 0 &&
		    errno == EINTR)
			r = -EINTR;
	}
	atomic_fetch_sub(&pager->stuck, 1);
	return r;
}

/*
 * Fills the page, which this thread has claimed.  -EAGAIN: it is absent again,
 * and may be tried again.
 */
static int fill_claimed(struct pager *pager, uint64_t page,
			struct pager_need *need)
{
	struct claim claim = claim_around(pager, page);
	uint32_t seen = atomic_load(&pager->go_on);
	int r = fill_claim(pager, &claim,
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
	if (r == -ECANCELED || cancelled(pager))
		return -ECANCELED;
	if (need->cause == PAGER_CAUSE_BACKGROUND)
		return -EIO;
	r = fail(pager, page, -r);
	if (r == -EAGAIN && wait_to_go_on(pager, seen) < 0)
		return -EINTR;
	return r;
}

/* Waits for a page that another thread fills, since @since. */
static void wait_for_other(struct pager *pager, uint64_t page,
			   const struct pager_need *need, uint64_t since)
{
	const struct claim claim = { page, 1 };
	struct fill_slot *slot = NULL;

	if (need->cause != PAGER_CAUSE_BACKGROUND)
		slot = watch_begin(pager, &claim, FILL_WAITS, since);
	pages_wait(&pager->pages, page);
	watch_end(slot);
}

/* Makes a page present, whoever fills it. */
static int fill_page(struct pager *pager, uint64_t page,
		     struct pager_need *need)
{
	uint64_t since = 0;
	bool waited = false;

	while (!cancelled(pager)) {
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
