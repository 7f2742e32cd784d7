// SPDX-License-Identifier: BSD-2-Clause
/*
 * The split virtqueue.
 *
 * Three areas in guest memory: the descriptor table and the avail ring, which
 * the driver writes, and the used ring, which the device writes.  Each index
 * runs free and is masked by the size.  Both sides run at the same time, so the
 * order of accesses matters:
 *
 *   - The driver fills a ring entry and then moves avail->idx.  We read idx
 *     with acquire, so that the entry and the descriptors are seen after it.
 *   - We fill a used entry and then move used->idx with release; the driver's
 *     read barrier pairs with it.
 *   - Whether to interrupt, or to kick, is a store followed by a load on either
 *     side (we store used->idx and load used_event; the driver stores
 *     used_event and loads used->idx).  Only a full fence on both sides makes
 *     sure that at least one of them sees the other's store, so both functions
 *     below have one.
 *
 * All fields are little-endian, as are both architectures of this program.
 *
 * Loop thread only.
 */
#include "vmm/virtio/queue.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "vmm/base/bytes.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "virtqueues are little-endian");

/* virtio 1.2, 2.7.5 */
struct virtq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

#define DESC_NEXT     1
#define DESC_WRITE    2
#define DESC_INDIRECT 4

/* virtio 1.2, 2.7.6 and 2.7.8: flags of the rings. */
#define AVAIL_NO_INTERRUPT 1
#define USED_NO_NOTIFY	   1

/* Both rings start alike, in units of 16 bits. */
enum { RING_FLAGS = 0, RING_IDX = 1, RING_FIRST = 2 };

/* A used entry is two 32-bit words. */
#define USED_ENTRY_HALVES 4

static uint16_t load16(const uint16_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static void store16(uint16_t *p, uint16_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
}

static uint16_t avail_idx(const struct virtq *q)
{
	return __atomic_load_n(&q->avail[RING_IDX], __ATOMIC_ACQUIRE);
}

/* used_event lies behind the avail ring, avail_event behind the used ring. */
static uint16_t *used_event(const struct virtq *q)
{
	return &q->avail[RING_FIRST + q->size];
}

static uint16_t *avail_event(const struct virtq *q)
{
	return &q->used[RING_FIRST + q->size * USED_ENTRY_HALVES];
}

/* Maps one area of @len bytes that must be aligned to @align. */
static int map_area(const struct memory *memory, gpa_t gpa, uint64_t len,
		    uint64_t align, void **hva)
{
	if (gpa & (align - 1))
		return -EINVAL;
	return memory_map(memory, gpa, len, hva);
}

int virtq_setup(struct virtq *q, const struct memory *memory,
		const struct virtq_layout *layout, uint16_t next_avail,
		uint16_t next_used)
{
	uint64_t size = layout->size;
	uint64_t event = q->event_idx ? 2 : 0;
	void *desc, *avail, *used;
	int err;

	q->size = 0;
	if (!is_power_of_two(size) || size > VIRTQ_SIZE_MAX)
		return -EINVAL;
	/* Sizes and alignments: virtio 1.2, 2.7. */
	err = map_area(memory, layout->desc, 16 * size, 16, &desc);
	if (err == 0)
		err = map_area(memory, layout->avail, 4 + 2 * size + event, 2,
			       &avail);
	if (err == 0)
		err = map_area(memory, layout->used, 4 + 8 * size + event, 4,
			       &used);
	if (err < 0)
		return err;
	q->memory = memory;
	q->desc = desc;
	q->avail = avail;
	q->used = used;
	q->next_avail = next_avail;
	q->next_used = next_used;
	q->signalled_valid = false;
	q->size = layout->size;
	return 0;
}

/*
 * Reads a descriptor once.  The barrier keeps the compiler from reading guest
 * memory again where it uses the copy.
 */
static struct virtq_desc desc_read(const void *from)
{
	struct virtq_desc d;

	memcpy(&d, from, sizeof(d));
	__asm__ volatile("" : "+m"(d) : : "memory");
	return d;
}

/* The walk of one chain. */
struct walk {
	struct virtq *q;
	struct virtq_chain *chain; /* NULL: only to note what was written */
	uint64_t noted; /* bytes */
	const char *why;
};

/* Sets the reason of a failure; returns the error. */
static int walk_fail(struct walk *w, int err, const char *why)
{
	w->why = why;
	return err;
}

/* Where the buffer of @d is, which the pop has populated; NULL: not in RAM. */
static void *present_hva(const struct memory *memory,
			 const struct virtq_desc *d)
{
	const struct memory_region *region =
		memory_find(memory, d->addr, d->len);

	return region ? region->hva + (d->addr - region->gpa) : NULL;
}

/*
 * Notes the buffer of @d as written, if the device could write to it.  The driver may
 * have changed what was checked, so there is a limit here, too.
 */
static int note_buffer(struct walk *w, const struct virtq_desc *d)
{
	const void *hva = present_hva(w->q->memory, d);

	w->noted += d->len;
	if (!hva || w->noted > VIRTQ_CHAIN_BYTES_MAX)
		return -EINVAL;
	if (d->flags & DESC_WRITE)
		memory_note(w->q->memory, hva, d->len);
	return 0;
}

/* Adds the buffer of @d to the chain. */
static int walk_add(struct walk *w, const struct virtq_desc *d)
{
	struct virtq_chain *chain = w->chain;
	bool write = d->flags & DESC_WRITE;
	struct iovs *v;
	unsigned int at;
	void *hva;
	int err;

	if (!chain)
		return note_buffer(w, d);
	v = write ? &chain->writable : &chain->readable;
	at = chain->readable.count + chain->writable.count;
	if (at == ARRAY_SIZE(chain->iov))
		return walk_fail(w, -E2BIG, "chain is too long");
	if (d->len == 0)
		return walk_fail(w, -EINVAL, "descriptor of length zero");
	if (!write && chain->writable.count)
		return walk_fail(w, -EINVAL, "readable buffer after writable");
	if (d->len > VIRTQ_CHAIN_BYTES_MAX - chain->readable.bytes -
			     chain->writable.bytes)
		return walk_fail(w, -E2BIG, "chain has too many bytes");
	err = memory_map(w->q->memory, d->addr, d->len, &hva);
	if (err == -EFAULT)
		return walk_fail(w, err, "buffer is not in memory");
	if (err < 0)
		return walk_fail(w, err, "buffer is unavailable");
	chain->iov[at] = (struct iovec){ .iov_base = hva, .iov_len = d->len };
	if (v->count == 0)
		v->iov = &chain->iov[at];
	v->count++;
	v->bytes += d->len;
	return 0;
}

/*
 * Follows the chain from @index of a table of @count descriptors.  A chain of
 * more than @count descriptors has a loop.
 */
static int walk_table(struct walk *w, const struct virtq_desc *table,
		      uint32_t count, uint32_t index)
{
	for (uint32_t steps = 0;; steps++) {
		struct virtq_desc d;
		int err;

		if (index >= count)
			return walk_fail(w, -EINVAL,
					 "descriptor index out of range");
		if (steps == count)
			return walk_fail(w, -ELOOP, "descriptor chain loops");
		d = desc_read((const uint8_t *)table + index * sizeof(d));
		if (d.flags & DESC_INDIRECT)
			return walk_fail(w, -EINVAL,
					 "indirect descriptor out of place");
		err = walk_add(w, &d);
		if (err < 0 || !(d.flags & DESC_NEXT))
			return err;
		index = d.next;
	}
}

/* Maps an indirect table; to note, one that is present since the pop. */
static int map_table(const struct walk *w, const struct virtq_desc *d,
		     void **table)
{
	if (w->chain)
		return memory_map(w->q->memory, d->addr, d->len, table);
	*table = present_hva(w->q->memory, d);
	return *table ? 0 : -EFAULT;
}

/* Walks the indirect table that @d points to (virtio 1.2, 2.7.5.3). */
static int walk_indirect(struct walk *w, const struct virtq_desc *d)
{
	uint32_t count = d->len / sizeof(*d);
	void *table;
	int err;

	if (!w->q->indirect)
		return walk_fail(w, -EINVAL, "indirect descriptor not agreed");
	if (d->flags & DESC_NEXT)
		return walk_fail(w, -EINVAL, "indirect descriptor has a next");
	if (d->len == 0 || d->len % sizeof(*d) || count > VIRTQ_SIZE_MAX)
		return walk_fail(w, -EINVAL, "indirect table of bad size");
	err = map_table(w, d, &table);
	if (err < 0)
		return walk_fail(w, err, "indirect table is not in memory");
	return walk_table(w, table, count, 0);
}

static int walk_chain(struct walk *w, uint16_t head)
{
	struct virtq_desc d;

	if (head >= w->q->size)
		return walk_fail(w, -EINVAL, "head out of range");
	d = desc_read(&w->q->desc[head]);
	return d.flags & DESC_INDIRECT ?
		       walk_indirect(w, &d) :
		       walk_table(w, w->q->desc, w->q->size, head);
}

int virtq_pop(struct virtq *q, struct virtq_chain *chain, const char **why)
{
	struct walk w = { .q = q, .chain = chain };
	uint16_t waiting = (uint16_t)(avail_idx(q) - q->next_avail);
	uint16_t head;
	int err;

	if (waiting == 0)
		return 0;
	if (waiting > q->size) {
		*why = "avail index runs ahead";
		return -EINVAL;
	}
	head = load16(&q->avail[RING_FIRST + (q->next_avail & (q->size - 1))]);
	chain->head = head;
	chain->readable = chain->writable = (struct iovs){ .iov = chain->iov };
	err = walk_chain(&w, head);
	if (err < 0) {
		*why = w.why;
		return err;
	}
	q->next_avail++;
	return 1;
}

void virtq_unpop(struct virtq *q, unsigned int count)
{
	q->next_avail = (uint16_t)(q->next_avail - count);
}

/* Notes the used ring as written. */
static void note_used(const struct virtq *q)
{
	memory_note(q->memory, q->used,
		    4 + 8 * (uint64_t)q->size + (q->event_idx ? 2 : 0));
}

void virtq_note(struct virtq *q, uint16_t head)
{
	struct walk w = { .q = q };

	if (q->size && memory_is_tracked(q->memory))
		walk_chain(&w, head);
}

void virtq_push(struct virtq *q, uint16_t head, uint32_t len)
{
	uint16_t slot = q->next_used & (q->size - 1);
	uint16_t *entry = &q->used[RING_FIRST + slot * USED_ENTRY_HALVES];

	virtq_note(q, head);
	put_le32(entry, head);
	put_le32(entry + 2, len);
	q->next_used++;
	__atomic_store_n(&q->used[RING_IDX], q->next_used, __ATOMIC_RELEASE);
	note_used(q);
}

bool virtq_wants_interrupt(struct virtq *q)
{
	uint16_t old = q->signalled, new = q->next_used, event;
	bool valid = q->signalled_valid;

	/* used->idx before used_event or flags: see above. */
	atomic_thread_fence(memory_order_seq_cst);
	if (!q->event_idx)
		return !(load16(&q->avail[RING_FLAGS]) & AVAIL_NO_INTERRUPT);
	q->signalled = new;
	q->signalled_valid = true;
	if (!valid)
		return true;
	/* Did the index move past the event?  virtio 1.2, 2.7.10. */
	event = load16(used_event(q));
	return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

void virtq_kicks_off(struct virtq *q)
{
	/* With event indices it is enough not to advance avail_event. */
	if (!q->event_idx)
		store16(&q->used[RING_FLAGS], USED_NO_NOTIFY);
	note_used(q);
}

bool virtq_kicks_on(struct virtq *q)
{
	if (q->event_idx)
		store16(avail_event(q), q->next_avail);
	else
		store16(&q->used[RING_FLAGS], 0);
	note_used(q);
	/* avail_event before avail->idx: see above. */
	atomic_thread_fence(memory_order_seq_cst);
	return avail_idx(q) != q->next_avail;
}
