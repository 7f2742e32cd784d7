/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/vm/held.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/bits.h"
#include "vmm/base/log.h"
#include "vmm/base/racy.h"
#include "vmm/base/thread.h"
#include "vmm/mem/track.h"
#include "vmm/snap/save.h"
#include "vmm/vm/private.h"
#include "vmm/vm/snapshot.h"

/*
 * Pages saved at once: a writer of one of them waits for all, some 0.2 ms.  A
 * multiple of every granule.
 */
#define PIECE_PAGES 64

/* Copies that wait to be saved; more make the guest wait. */
#define COPIES_MAX (16 * MIB / PAGE_BYTES)

/* Copies saved at once. */
#define COPIES_PIECE 8

/* Protection is set for blocks of so many pages, as each call costs more than one. */
#define BLOCK_PAGES 512

static const struct memory *memory_of(const struct held *held)
{
	return &held->vm->machine.memory;
}

static uint64_t ram_pages(const struct held *held)
{
	return memory_of(held)->size_bytes / PAGE_BYTES;
}

/* Whether the control thread saves pages of the granule at @page; lock held. */
static bool is_in_piece(const struct held *held, uint64_t page)
{
	uint64_t end = page + memory_of(held)->granule_pages;

	return page < held->piece.first + held->piece.count &&
	       held->piece.first < end;
}

/* Copies a page if it is not saved; the lock is held, and there is room. */
static void keep(struct held *held, uint64_t page)
{
	if (track_next(held->bits, page, page + 1) != page)
		return;
	bits_clear(held->bits, page, page + 1);
	/* A writer that waits is in the middle of its write. */
	racy_reads_begin();
	memcpy(held->copies + held->copy_count * PAGE_BYTES,
	       memory_page_hva(memory_of(held), page), PAGE_BYTES);
	racy_reads_end();
	held->copied[held->copy_count++] = page;
}

/* An error ends the save, and held_end() the protection. */
static void lift(struct held *held, uint64_t first, uint64_t count)
{
	int r = protect_lift(&held->protect, first, count);

	if (r == 0)
		return;
	pthread_mutex_lock(&held->lock);
	if (!held->error)
		log_errno(-r, "snapshot: userfaultfd: lift write protection");
	held->error = r;
	pthread_mutex_unlock(&held->lock);
}

/* Whether a page of the granule at @page is not saved; lock held. */
static bool is_unsaved(const struct held *held, uint64_t page)
{
	uint64_t end = page + memory_of(held)->granule_pages;

	return track_next(held->bits, page, end) < end;
}

/* A writer waits for the granule at @page. */
static void serve(struct held *held, uint64_t page)
{
	uint32_t granule = memory_of(held)->granule_pages;

	pthread_mutex_lock(&held->lock);
	held->waits += is_in_piece(held, page) || is_unsaved(held, page);
	while (!held->ends && (is_in_piece(held, page) ||
			       (is_unsaved(held, page) &&
				held->copy_count + granule > COPIES_MAX)))
		pthread_cond_wait(&held->changed, &held->lock);
	for (uint32_t i = 0; !held->ends && i < granule; i++)
		keep(held, page + i);
	pthread_mutex_unlock(&held->lock);
	lift(held, page, granule);
}

static void *held_main(void *arg)
{
	struct held *held = arg;
	struct pollfd fds[] = {
		{ .fd = held->protect.fd, .events = POLLIN },
		{ .fd = held->wake_fd, .events = POLLIN },
	};
	uint64_t page;

	while (!(fds[1].revents & POLLIN)) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		while (protect_next(&held->protect, &page))
			serve(held, page);
	}
	return NULL;
}

/* Ends the protection, and frees everything. */
static void release(struct held *held)
{
	protect_close(&held->protect);
	if (held->wake_fd >= 0)
		close(held->wake_fd);
	if (held->copies)
		munmap(held->copies, COPIES_MAX * PAGE_BYTES);
	free(held->copied);
	pthread_mutex_destroy(&held->lock);
	pthread_cond_destroy(&held->changed);
}

/* Memory for the copies, present, so that no fault waits for it; -errno. */
static int map_copies(struct held *held)
{
	void *copies =
		mmap(NULL, COPIES_MAX * PAGE_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	held->copied = calloc(COPIES_MAX, sizeof(held->copied[0]));
	if (copies != MAP_FAILED)
		held->copies = copies;
	return held->copies && held->copied ? 0 : -ENOMEM;
}

int held_prepare(struct held *held, struct vm *vm, struct snap_save *save)
{
	int r;

	*held = (struct held){ .vm = vm, .save = save, .wake_fd = -1 };
	r = protect_open(&held->protect, &vm->machine.memory);
	if (r < 0)
		return r;
	pthread_mutex_init(&held->lock, NULL);
	pthread_cond_init(&held->changed, NULL);
	r = map_copies(held);
	if (r == 0) {
		held->wake_fd = eventfd(0, EFD_CLOEXEC);
		r = held->wake_fd < 0 ? -errno : 0;
	}
	if (r == 0)
		r = thread_start(&held->thread, "held", held_main, held);
	held->on = r == 0;
	if (r < 0)
		release(held);
	return r;
}

/* The end of the pages at and after @from that are to be protected at once. */
static uint64_t blocks_end(const struct held *held, uint64_t from)
{
	uint64_t pages = ram_pages(held), end = from, next = from;

	while (next < pages && next < end + BLOCK_PAGES) {
		end = align_down(next, BLOCK_PAGES) + BLOCK_PAGES;
		next = track_next(held->bits, end, pages);
	}
	return min_u64(end, pages);
}

int held_protect(struct held *held, uint64_t *bits)
{
	uint64_t pages = ram_pages(held), end;
	int r = 0;

	track_round(memory_of(held), bits);
	pthread_mutex_lock(&held->lock);
	held->bits = bits;
	for (uint64_t at = track_next(bits, 0, pages); r == 0 && at < pages;
	     at = track_next(bits, end, pages)) {
		uint64_t first = align_down(at, BLOCK_PAGES);

		end = blocks_end(held, at);
		r = protect_pages(&held->protect, first, end - first);
	}
	pthread_mutex_unlock(&held->lock);
	return r;
}

/* What the control thread saves next. */
struct next {
	int error; /* of the thread `held' */
	struct page_run piece; /* count 0: copies */
	unsigned int copies;
	uint64_t copied[COPIES_PIECE];
	uint8_t data[COPIES_PIECE * PAGE_BYTES];
};

/* Takes the newest copies; the lock is held. */
static void take_copies(struct held *held, struct next *next)
{
	next->copies = (unsigned int)min_u64(held->copy_count, COPIES_PIECE);
	held->copy_count -= next->copies;
	memcpy(next->copied, held->copied + held->copy_count,
	       next->copies * sizeof(next->copied[0]));
	memcpy(next->data, held->copies + held->copy_count * PAGE_BYTES,
	       next->copies * PAGE_BYTES);
}

/* Decides what is next, from page @at on; false: nothing, or an error. */
static bool take_next(struct held *held, uint64_t at, struct next *next)
{
	bool any = true;

	next->copies = 0;
	next->piece = (struct page_run){ 0, 0 };
	pthread_mutex_lock(&held->lock);
	next->error = held->error;
	if (held->error)
		any = false;
	else if (held->copy_count)
		take_copies(held, next);
	else
		any = track_run(memory_of(held), held->bits, at, PIECE_PAGES,
				&next->piece);
	bits_clear(held->bits, next->piece.first,
		   next->piece.first + next->piece.count);
	held->piece = next->piece;
	pthread_cond_broadcast(&held->changed);
	pthread_mutex_unlock(&held->lock);
	return any;
}

/* Saves it, and lets its writers go on. */
static int save_next(struct held *held, const struct next *next)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < next->copies; i++)
		r = snap_save_pages(held->save, next->copied[i], 1,
				    next->data + i * PAGE_BYTES);
	if (!next->piece.count)
		return r;
	r = snap_save_pages(held->save, next->piece.first, next->piece.count,
			    memory_page_hva(memory_of(held),
					    next->piece.first));
	pthread_mutex_lock(&held->lock);
	held->piece.count = 0;
	pthread_cond_broadcast(&held->changed);
	pthread_mutex_unlock(&held->lock);
	if (r == 0)
		lift(held, next->piece.first, next->piece.count);
	return r;
}

int held_save(struct held *held, const struct vm_save_options *options)
{
	uint64_t pages = ram_pages(held), at = 0;
	struct next next;
	int r = 0;

	while (r == 0 && take_next(held, at, &next)) {
		r = vm_save_report(held->vm, options, pages, pages);
		if (r == 0)
			r = save_next(held, &next);
		if (next.piece.count)
			at = next.piece.first + next.piece.count;
	}
	return r < 0 ? r : next.error;
}

void held_end(struct held *held)
{
	uint64_t one = 1;

	if (!held->on)
		return;
	held->on = false;
	pthread_mutex_lock(&held->lock);
	held->ends = true;
	pthread_cond_broadcast(&held->changed);
	pthread_mutex_unlock(&held->lock);
	/* It fails only when the counter is full, which wakes as well. */
	if (write(held->wake_fd, &one, sizeof(one)) < 0)
		log_debug("held pages: the counter is full");
	pthread_join(held->thread, NULL);
	release(held);
}
