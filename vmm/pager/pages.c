/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Page states.
 *
 * Memory order.  A publisher has written the page's contents (or had the kernel
 * do it) before it stores PRESENT with release; a reader loads PRESENT with
 * acquire, and so sees the contents.  The claim is an acquire, so that what a
 * failed filler did before its release is behind it.
 *
 * Waiting.  A loser reads the futex's number, marks the page AWAITED unless it
 * has changed meanwhile, and sleeps while the number is the same.  A filler
 * changes the page first and the number second.  All four are sequentially
 * consistent: either the loser sees the changed page, or the kernel sees the
 * changed number.
 *
 * Counting.  A chunk's counter is changed after the states, and the number of chunks
 * after the counter; the one who takes it to zero has seen all the others' changes,
 * as each is a read and write of the same word.
 */
#include "vmm/pager/pages.h"

#include <errno.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/futex.h"
#include "vmm/base/log.h"
#include "vmm/base/zeros.h"

enum page_state {
	STATE_PRESENT = 0,
	STATE_ABSENT = 1,
	STATE_FILLING = 2,
	STATE_AWAITED = 3, /* being filled, and a thread waits */
};

static uint64_t chunk_count(uint64_t pages)
{
	return (pages + PAGES_CHUNK - 1) / PAGES_CHUNK;
}

/* The zeros of states that were never touched mean PRESENT. */
int pages_init(struct pages *pages, uint64_t count, uint32_t granule_pages)
{
	*pages = (struct pages){
		.states = zeros_map(count / granule_pages),
		.chunks = zeros_map(chunk_count(count) *
				    sizeof(pages->chunks[0])),
		.count = count,
		.granule_pages = granule_pages,
	};
	if (pages->states && pages->chunks)
		return 0;
	pages_finish(pages);
	return log_errno(ENOMEM, "page states");
}

void pages_finish(struct pages *pages)
{
	zeros_unmap((void *)pages->states, pages->count / pages->granule_pages);
	zeros_unmap(pages->chunks,
		    chunk_count(pages->count) * sizeof(pages->chunks[0]));
	*pages = (struct pages){ 0 };
}

/* The state of the granule that holds a page. */
static _Atomic uint8_t *state_of(const struct pages *pages, uint64_t page)
{
	return &pages->states[page / pages->granule_pages];
}

/* How many of @count pages from @first on are in the chunk of @first. */
static uint64_t in_chunk(uint64_t first, uint64_t count)
{
	return min_u64(count, PAGES_CHUNK - first % PAGES_CHUNK);
}

void pages_set_absent(struct pages *pages, uint64_t first, uint64_t count)
{
	memset((void *)state_of(pages, first), STATE_ABSENT,
	       count / pages->granule_pages);
	while (count) {
		uint64_t n = in_chunk(first, count);

		if (atomic_fetch_add(&pages->chunks[first / PAGES_CHUNK].absent,
				     n) == 0)
			atomic_fetch_add(&pages->absent_chunks, 1);
		first += n;
		count -= n;
	}
}

bool pages_are_complete(const struct pages *pages)
{
	return atomic_load(&pages->absent_chunks) == 0;
}

uint64_t pages_absent(const struct pages *pages)
{
	uint64_t absent = 0;

	if (pages_are_complete(pages))
		return 0;
	for (uint64_t i = 0; i < chunk_count(pages->count); i++)
		absent += atomic_load(&pages->chunks[i].absent);
	return absent;
}

bool pages_is_present(const struct pages *pages, uint64_t page)
{
	return atomic_load_explicit(state_of(pages, page),
				    memory_order_acquire) == STATE_PRESENT;
}

enum pages_claim pages_claim(struct pages *pages, uint64_t page)
{
	uint8_t state = atomic_load_explicit(state_of(pages, page),
					     memory_order_acquire);

	/* Looked at first: a failed exchange takes the cache line as well. */
	if (state == STATE_ABSENT &&
	    atomic_compare_exchange_strong_explicit(state_of(pages, page),
						    &state, STATE_FILLING,
						    memory_order_acquire,
						    memory_order_acquire))
		return PAGES_CLAIMED;
	return state == STATE_PRESENT ? PAGES_PRESENT : PAGES_BUSY;
}

/* The futex of a granule; neighbours, which are filled together, differ. */
static _Atomic uint32_t *futex_of(struct pages *pages, uint64_t page)
{
	return &pages->futexes[page / pages->granule_pages % PAGES_FUTEXES];
}

void pages_wait(struct pages *pages, uint64_t page)
{
	_Atomic uint32_t *word = futex_of(pages, page);
	uint32_t number = atomic_load(word);
	uint8_t state = STATE_FILLING;

	if (atomic_compare_exchange_strong(state_of(pages, page), &state,
					   STATE_AWAITED) ||
	    state == STATE_AWAITED)
		futex_wait(word, number);
}

/* Ends the filling of a granule, and wakes the threads that wait for it. */
static void settle(struct pages *pages, uint64_t page, enum page_state state)
{
	if (atomic_exchange(state_of(pages, page), (uint8_t)state) !=
	    STATE_AWAITED)
		return;
	atomic_fetch_add(futex_of(pages, page), 1);
	futex_wake_all(futex_of(pages, page));
}

bool pages_publish(struct pages *pages, uint64_t first, uint64_t count)
{
	bool last = false;

	for (uint64_t i = 0; i < count; i += pages->granule_pages)
		settle(pages, first + i, STATE_PRESENT);
	while (count) {
		uint64_t n = in_chunk(first, count);

		if (atomic_fetch_sub(&pages->chunks[first / PAGES_CHUNK].absent,
				     n) == n)
			last = atomic_fetch_sub(&pages->absent_chunks, 1) == 1;
		first += n;
		count -= n;
	}
	return last;
}

void pages_release(struct pages *pages, uint64_t first, uint64_t count)
{
	for (uint64_t i = 0; i < count; i += pages->granule_pages)
		settle(pages, first + i, STATE_ABSENT);
}

void pages_wake_all(struct pages *pages)
{
	for (unsigned int i = 0; i < PAGES_FUTEXES; i++) {
		atomic_fetch_add(&pages->futexes[i], 1);
		futex_wake_all(&pages->futexes[i]);
	}
}
