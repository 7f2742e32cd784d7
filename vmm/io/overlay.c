// SPDX-License-Identifier: BSD-2-Clause
/*
 * A bit says that the store holds a block.  It is set after the block is there, with
 * release order, looked at with acquire order, and never cleared.  So a read that
 * sees it finds the block, and one that does not is as good as an earlier one.
 *
 * A write to blocks that the store holds is a plain write.  Any other write first
 * makes the range of its blocks busy, and waits while another one's overlaps:
 * otherwise the copy of a block from the base could overwrite what another thread
 * has just written to a part of it.  The lock guards the list of busy ranges.
 */
#include "vmm/io/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/base/bits.h"
#include "vmm/base/bytes.h"
#include "vmm/base/sparse.h"
#include "vmm/base/zeros.h"
#include "vmm/io/transfer.h"

/* Blocks that are being added to the store; on the stack of its thread. */
struct busy {
	uint64_t first, end;
	struct busy *next;
};

struct overlay {
	int base_fd; /* owned */
	int fd; /* the store */
	uint64_t size_bytes;
	const atomic_bool *ending;
	_Atomic uint64_t *held; /* a bit for each block; mapped */
	pthread_mutex_t lock;
	pthread_cond_t freed; /* a range is not busy any more */
	struct busy *busy;
};

static uint64_t bits_bytes(uint64_t size_bytes)
{
	uint64_t blocks =
		(size_bytes + OVERLAY_BLOCK_BYTES - 1) / OVERLAY_BLOCK_BYTES;

	return bits_words(blocks) * sizeof(uint64_t);
}

int overlay_create(struct overlay **out, int base_fd, int fd,
		   uint64_t size_bytes, const atomic_bool *ending)
{
	struct overlay *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->held = zeros_map(bits_bytes(size_bytes));
	if (!o->held) {
		free(o);
		return -ENOMEM;
	}
	o->base_fd = base_fd;
	o->fd = fd;
	o->size_bytes = size_bytes;
	o->ending = ending;
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->freed, NULL);
	*out = o;
	return 0;
}

void overlay_destroy(struct overlay *o)
{
	if (!o)
		return;
	close(o->base_fd);
	zeros_unmap((void *)o->held, bits_bytes(o->size_bytes));
	pthread_cond_destroy(&o->freed);
	pthread_mutex_destroy(&o->lock);
	free(o);
}

/* The first block in [@from, @end) that the store holds, or not; @end: none. */
static uint64_t next_block(const struct overlay *o, uint64_t from, uint64_t end,
			   bool held)
{
	while (from < end) {
		uint64_t word = atomic_load_explicit(&o->held[from / 64],
						     memory_order_acquire);

		word = (held ? word : ~word) >> from % 64;
		if (word)
			return min_u64(from + (uint64_t)__builtin_ctzll(word),
				       end);
		from = align_down(from, 64) + 64;
	}
	return end;
}

static bool is_held(const struct overlay *o, uint64_t block)
{
	return next_block(o, block, block + 1, true) == block;
}

/* Whether another thread adds some of these blocks; the lock is held. */
static bool is_busy(const struct overlay *o, const struct busy *range)
{
	for (const struct busy *b = o->busy; b; b = b->next)
		if (b->first < range->end && range->first < b->end)
			return true;
	return false;
}

static void make_busy(struct overlay *o, struct busy *range)
{
	pthread_mutex_lock(&o->lock);
	while (is_busy(o, range))
		pthread_cond_wait(&o->freed, &o->lock);
	range->next = o->busy;
	o->busy = range;
	pthread_mutex_unlock(&o->lock);
}

static void make_free(struct overlay *o, const struct busy *range)
{
	struct busy **at = &o->busy;

	pthread_mutex_lock(&o->lock);
	while (*at != range)
		at = &(*at)->next;
	*at = range->next;
	pthread_cond_broadcast(&o->freed);
	pthread_mutex_unlock(&o->lock);
}

/*
 * Copies a block from the base, unless the store holds it, or [@offset, @end) is all
 * of it.
 */
static int copy_up(struct overlay *o, uint64_t block, uint64_t offset,
		   uint64_t end)
{
	uint8_t data[OVERLAY_BLOCK_BYTES];
	uint64_t at = block * OVERLAY_BLOCK_BYTES;
	struct iovec iov = { data, min_u64(sizeof(data), o->size_bytes - at) };
	int r;

	if (is_held(o, block) || (offset <= at && at + iov.iov_len <= end))
		return 0;
	r = transfer_all(o->base_fd, &iov, 1, at, false, o->ending);
	return r ? r : transfer_all(o->fd, &iov, 1, at, true, o->ending);
}

static int write_all(struct overlay *o, const struct iovec *iov, int count,
		     uint64_t offset, uint64_t end)
{
	struct busy range = { offset / OVERLAY_BLOCK_BYTES,
			      (end - 1) / OVERLAY_BLOCK_BYTES + 1, NULL };
	int r;

	if (next_block(o, range.first, range.end, false) == range.end)
		return transfer_all(o->fd, iov, count, offset, true, o->ending);
	make_busy(o, &range);
	r = copy_up(o, range.first, offset, end);
	if (r == 0 && range.end - 1 > range.first)
		r = copy_up(o, range.end - 1, offset, end);
	if (r == 0)
		r = transfer_all(o->fd, iov, count, offset, true, o->ending);
	if (r == 0)
		bits_set_atomic(o->held, range.first, range.end);
	make_free(o, &range);
	return r;
}

/* The part at @offset of a range that ends at @end and is all in one of the files. */
static uint64_t part_bytes(const struct overlay *o, uint64_t offset,
			   uint64_t end, int *fd)
{
	uint64_t block = offset / OVERLAY_BLOCK_BYTES;
	bool held = is_held(o, block);

	*fd = held ? o->fd : o->base_fd;
	/* Another thread may have added this one meanwhile. */
	block = next_block(o, block + 1, (end - 1) / OVERLAY_BLOCK_BYTES + 1,
			   !held);
	return min_u64(block * OVERLAY_BLOCK_BYTES, end) - offset;
}

/* Reads one buffer, from both files. */
static int read_parts(const struct overlay *o, const struct iovec *iov,
		      uint64_t offset)
{
	uint64_t end = offset + iov->iov_len;
	uint8_t *to = iov->iov_base;
	int r = 0, fd;

	while (r == 0 && offset < end) {
		uint64_t n = part_bytes(o, offset, end, &fd);
		struct iovec part = { to, n };

		r = transfer_all(fd, &part, 1, offset, false, o->ending);
		to += n;
		offset += n;
	}
	return r;
}

static int read_all(const struct overlay *o, const struct iovec *iov, int count,
		    uint64_t offset, uint64_t end)
{
	int r = 0, fd;

	if (part_bytes(o, offset, end, &fd) == end - offset)
		return transfer_all(fd, iov, count, offset, false, o->ending);
	for (int i = 0; r == 0 && i < count; i++) {
		r = read_parts(o, &iov[i], offset);
		offset += iov[i].iov_len;
	}
	return r;
}

int overlay_transfer(struct overlay *o, const struct iovec *iov, int count,
		     uint64_t offset, bool write)
{
	uint64_t end = offset;

	for (int i = 0; i < count; i++)
		end += iov[i].iov_len;
	if (end == offset)
		return 0;
	return write ? write_all(o, iov, count, offset, end) :
		       read_all(o, iov, count, offset, end);
}

int overlay_zero(struct overlay *o, uint64_t offset, uint64_t len_bytes)
{
	struct busy range = { offset / OVERLAY_BLOCK_BYTES,
			      (offset + len_bytes) / OVERLAY_BLOCK_BYTES,
			      NULL };
	int r;

	if (!len_bytes)
		return 0;
	make_busy(o, &range);
	do
		r = fallocate(o->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      (off_t)offset, (off_t)len_bytes);
	/* Relaxed: signals are repeated. */
	while (r < 0 && errno == EINTR &&
	       !atomic_load_explicit(o->ending, memory_order_relaxed));
	r = r < 0 ? -errno : 0;
	if (r == 0)
		bits_set_atomic(o->held, range.first, range.end);
	make_free(o, &range);
	return r;
}

bool overlay_next_data(const struct overlay *o, uint64_t at, uint64_t *start,
		       uint64_t *end)
{
	uint64_t blocks =
		(o->size_bytes + OVERLAY_BLOCK_BYTES - 1) / OVERLAY_BLOCK_BYTES;
	uint64_t first = next_block(o, at / OVERLAY_BLOCK_BYTES, blocks, true);
	uint64_t held = max_u64(first * OVERLAY_BLOCK_BYTES, at);

	if (sparse_next_data(o->base_fd, at, min_u64(held, o->size_bytes),
			     start, end))
		return true;
	*start = held;
	*end = min_u64(next_block(o, first, blocks, false) *
			       OVERLAY_BLOCK_BYTES,
		       o->size_bytes);
	return *start < *end;
}
