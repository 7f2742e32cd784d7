// SPDX-License-Identifier: BSD-2-Clause
/*
 * The split virtqueue by itself: valid and invalid rings and chains.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest.h"
#include "vmm/base/bytes.h"
#include "vmm/virtio/queue.h"

#define SIZE  16
#define DESC  (gpa_t)0x10000
#define AVAIL (gpa_t)0x20000
#define USED  (gpa_t)0x30000
#define TABLE (gpa_t)0x40000
#define DATA  (gpa_t)0x50000

struct fixture {
	struct guest g;
	struct virtq q;
	struct virtq_chain chain;
	const char *why;
};

static const struct virtq_layout layout = {
	.size = SIZE,
	.desc = DESC,
	.avail = AVAIL,
	.used = USED,
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	guest_init(&x->g);
	x->q.event_idx = x->q.indirect = true;
	assert_int_equal(virtq_setup(&x->q, &x->g.memory, &layout, 0, 0), 0);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	guest_finish(&x->g);
	free(x);
	return 0;
}

static void desc(struct fixture *x, unsigned int i, gpa_t gpa, uint32_t len,
		 uint16_t flags, uint16_t next)
{
	guest_desc(&x->g, DESC, i, gpa, len, flags, next);
}

/* Makes @head available as entry number @n. */
static void offer(struct fixture *x, uint16_t n, uint16_t head)
{
	guest_put16(&x->g, AVAIL + 4 + 2 * (n % SIZE), head);
	guest_put16(&x->g, AVAIL + 2, (uint16_t)(n + 1));
}

static int pop(struct fixture *x)
{
	x->why = NULL;
	return virtq_pop(&x->q, &x->chain, &x->why);
}

/* Expects the chain at descriptor 0 to fail with this reason. */
static void refused(struct fixture *x, const char *why)
{
	offer(x, x->q.next_avail, 0);
	assert_true(pop(x) < 0);
	assert_string_equal(x->why, why);
	/* It stays where it is. */
	assert_true(pop(x) < 0);
}

static void test_chain(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(pop(x), 0);
	desc(x, 3, DATA, 16, GUEST_NEXT, 9);
	desc(x, 9, DATA + 16, 100, GUEST_NEXT | GUEST_WRITE, 1);
	desc(x, 1, GUEST_HIGH, 1, GUEST_WRITE, 0);
	offer(x, 0, 3);
	assert_int_equal(pop(x), 1);
	assert_int_equal(x->chain.head, 3);
	assert_int_equal(x->chain.readable.count, 1);
	assert_int_equal(x->chain.readable.bytes, 16);
	assert_int_equal(x->chain.writable.count, 2);
	assert_int_equal(x->chain.writable.bytes, 101);
	assert_ptr_equal(x->chain.writable.iov[1].iov_base,
			 guest_ptr(&x->g, GUEST_HIGH, 1));
	assert_int_equal(pop(x), 0);
	virtq_unpop(&x->q, 1);
	assert_int_equal(pop(x), 1);
	virtq_push(&x->q, 3, 77);
	assert_int_equal(guest_get16(&x->g, USED + 2), 1);
	assert_int_equal(get_le32(guest_ptr(&x->g, USED + 4, 4)), 3);
	assert_int_equal(get_le32(guest_ptr(&x->g, USED + 8, 4)), 77);
}

static void test_indirect(void **state)
{
	struct fixture *x = *state;

	/* As long as a chain may be, and at an odd address. */
	for (unsigned int i = 0; i < VIRTQ_SIZE_MAX; i++)
		guest_desc(&x->g, TABLE + 1, i, DATA + i, 1,
			   i + 1 < VIRTQ_SIZE_MAX ? GUEST_NEXT : 0,
			   (uint16_t)(i + 1));
	desc(x, 0, TABLE + 1, 16 * VIRTQ_SIZE_MAX, GUEST_INDIRECT, 0);
	offer(x, 0, 0);
	assert_int_equal(pop(x), 1);
	assert_int_equal(x->chain.readable.count, VIRTQ_SIZE_MAX);
	assert_int_equal(x->chain.readable.bytes, VIRTQ_SIZE_MAX);
}

static void test_wraps(void **state)
{
	struct fixture *x = *state;

	desc(x, 5, DATA, 4, GUEST_WRITE, 0);
	/* More than 2^16 chains, so that every index wraps. */
	for (unsigned int n = 0; n < 70000; n++) {
		offer(x, (uint16_t)n, 5);
		assert_int_equal(pop(x), 1);
		virtq_push(&x->q, 5, n);
		assert_int_equal(guest_get16(&x->g, USED + 2),
				 (uint16_t)(n + 1));
	}
	assert_int_equal(pop(x), 0);
}

static void test_bad_chains(void **state)
{
	struct fixture *x = *state;

	desc(x, 0, DATA, 4, GUEST_NEXT, 1);
	desc(x, 1, DATA, 4, GUEST_NEXT, 0);
	refused(x, "descriptor chain loops");
	desc(x, 0, DATA, 4, GUEST_NEXT, 0);
	refused(x, "descriptor chain loops");
	desc(x, 0, DATA, 4, GUEST_NEXT, SIZE);
	refused(x, "descriptor index out of range");
	desc(x, 0, DATA, 4, GUEST_NEXT, UINT16_MAX);
	refused(x, "descriptor index out of range");
	desc(x, 0, DATA, 0, 0, 0);
	refused(x, "descriptor of length zero");
	desc(x, 0, DATA, 4, GUEST_NEXT | GUEST_WRITE, 1);
	desc(x, 1, DATA, 4, 0, 0);
	refused(x, "readable buffer after writable");
	offer(x, x->q.next_avail, SIZE);
	assert_true(pop(x) < 0);
	assert_string_equal(x->why, "head out of range");
	offer(x, (uint16_t)(x->q.next_avail + SIZE), 0);
	assert_true(pop(x) < 0);
	assert_string_equal(x->why, "avail index runs ahead");
	guest_put16(&x->g, AVAIL + 2, (uint16_t)(x->q.next_avail - 1));
	assert_true(pop(x) < 0);
	assert_string_equal(x->why, "avail index runs ahead");
}

static void test_bad_addresses(void **state)
{
	static const struct {
		gpa_t gpa;
		uint32_t len;
	} bad[] = {
		{ GUEST_LOW_BYTES, 1 }, /* the hole */
		{ GUEST_LOW_BYTES - 1, 2 }, /* into the hole */
		{ GUEST_HIGH - 1, 2 }, /* out of the hole */
		{ 0, UINT32_MAX }, /* huge */
		{ GUEST_HIGH, GUEST_HIGH_BYTES + 1 }, /* one too many */
		{ GUEST_HIGH + GUEST_HIGH_BYTES, 1 },
		{ UINT64_MAX, 1 },
		{ UINT64_MAX, UINT32_MAX }, /* overflows */
		{ UINT64_MAX - 0xfff, 0x1000 }, /* ends at 2^64 */
		{ UINT64_C(1) << 63, 16 },
		{ 0xe0000000, 16 }, /* not memory */
	};
	struct fixture *x = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		desc(x, 0, bad[i].gpa, bad[i].len, 0, 0);
		refused(x, "buffer is not in memory");
		desc(x, 0, bad[i].gpa, bad[i].len & ~15u, GUEST_INDIRECT, 0);
		if (bad[i].len >= 16 && bad[i].len / 16 <= VIRTQ_SIZE_MAX)
			refused(x, "indirect table is not in memory");
		else
			refused(x, "indirect table of bad size");
	}
}

static void test_too_much(void **state)
{
	struct fixture *x = *state;

	/* One descriptor more than is allowed would need a larger table. */
	desc(x, 0, TABLE, 16 * (VIRTQ_SIZE_MAX + 1), GUEST_INDIRECT, 0);
	refused(x, "indirect table of bad size");
	/* All of high memory, over and over, does pass 4 GiB. */
	assert_true(GUEST_HIGH_BYTES * VIRTQ_SIZE_MAX <= VIRTQ_CHAIN_BYTES_MAX);
	for (unsigned int i = 0; i < VIRTQ_SIZE_MAX; i++)
		guest_desc(&x->g, TABLE, i, GUEST_HIGH, GUEST_HIGH_BYTES,
			   i + 1 < VIRTQ_SIZE_MAX ? GUEST_NEXT : 0,
			   (uint16_t)(i + 1));
	desc(x, 0, TABLE, 16 * VIRTQ_SIZE_MAX, GUEST_INDIRECT, 0);
	offer(x, x->q.next_avail, 0);
	assert_int_equal(pop(x), 1);
	assert_int_equal(x->chain.readable.bytes,
			 GUEST_HIGH_BYTES * VIRTQ_SIZE_MAX);
}

static void test_bad_indirect(void **state)
{
	struct fixture *x = *state;

	guest_desc(&x->g, TABLE, 0, DATA, 4, 0, 0);
	for (uint32_t len = 0; len < 64; len++) {
		if (len && len % 16 == 0)
			continue;
		desc(x, 0, TABLE, len, GUEST_INDIRECT, 0);
		refused(x, "indirect table of bad size");
	}
	desc(x, 0, TABLE, 16, GUEST_INDIRECT | GUEST_NEXT, 1);
	refused(x, "indirect descriptor has a next");
	guest_desc(&x->g, TABLE, 0, TABLE, 16, GUEST_INDIRECT, 0);
	desc(x, 0, TABLE, 16, GUEST_INDIRECT, 0);
	refused(x, "indirect descriptor out of place");
	guest_desc(&x->g, TABLE, 0, DATA, 4, GUEST_NEXT, 0);
	refused(x, "descriptor chain loops");
	guest_desc(&x->g, TABLE, 0, DATA, 4, GUEST_NEXT, 1);
	refused(x, "descriptor index out of range");
	/* Behind a plain descriptor. */
	desc(x, 0, DATA, 4, GUEST_NEXT, 1);
	desc(x, 1, TABLE, 16, GUEST_INDIRECT, 0);
	refused(x, "indirect descriptor out of place");
	x->q.indirect = false;
	desc(x, 0, TABLE, 16, GUEST_INDIRECT, 0);
	refused(x, "indirect descriptor not agreed");
}

static void test_bad_layouts(void **state)
{
	struct fixture *x = *state;
	struct virtq_layout l;

	for (unsigned int size = 0; size <= UINT16_MAX; size++) {
		bool good = is_power_of_two(size) && size <= VIRTQ_SIZE_MAX;

		l = layout;
		l.size = (uint16_t)size;
		assert_int_equal(virtq_setup(&x->q, &x->g.memory, &l, 0, 0) ==
					 0,
				 good);
		assert_int_equal(x->q.size, good ? size : 0);
	}
	for (unsigned int i = 1; i < 16; i++) {
		l = layout;
		l.desc += i;
		assert_true(virtq_setup(&x->q, &x->g.memory, &l, 0, 0) < 0);
		l = layout;
		l.used += i;
		assert_int_equal(virtq_setup(&x->q, &x->g.memory, &l, 0, 0) ==
					 0,
				 i % 4 == 0);
		l = layout;
		l.avail += i;
		assert_int_equal(virtq_setup(&x->q, &x->g.memory, &l, 0, 0) ==
					 0,
				 i % 2 == 0);
	}
	/* Up to the last byte of memory, and one step further. */
	l = layout;
	l.used = GUEST_LOW_BYTES - (6 + 8 * SIZE + 2);
	assert_int_equal(virtq_setup(&x->q, &x->g.memory, &l, 0, 0), 0);
	l.used += 4;
	assert_true(virtq_setup(&x->q, &x->g.memory, &l, 0, 0) < 0);
	l.used = UINT64_MAX - 3;
	assert_true(virtq_setup(&x->q, &x->g.memory, &l, 0, 0) < 0);
}

static void test_event_idx(void **state)
{
	struct fixture *x = *state;
	gpa_t used_event = AVAIL + 4 + 2 * SIZE;
	gpa_t avail_event = USED + 4 + 8 * SIZE;

	desc(x, 0, DATA, 4, GUEST_WRITE, 0);
	offer(x, 0, 0);
	assert_int_equal(pop(x), 1);
	virtq_push(&x->q, 0, 0);
	/* The first time in any case. */
	assert_true(virtq_wants_interrupt(&x->q));
	/* The driver asks for one after three more: at index 4. */
	guest_put16(&x->g, used_event, 3);
	virtq_push(&x->q, 0, 0);
	assert_false(virtq_wants_interrupt(&x->q));
	virtq_push(&x->q, 0, 0);
	assert_false(virtq_wants_interrupt(&x->q));
	virtq_push(&x->q, 0, 0);
	assert_true(virtq_wants_interrupt(&x->q));
	virtq_push(&x->q, 0, 0);
	assert_false(virtq_wants_interrupt(&x->q));
	/* Several at once past the event. */
	guest_put16(&x->g, used_event, 6);
	virtq_push(&x->q, 0, 0);
	virtq_push(&x->q, 0, 0);
	virtq_push(&x->q, 0, 0);
	assert_true(virtq_wants_interrupt(&x->q));
	/* Kicks: the event is the next chain. */
	assert_false(virtq_kicks_on(&x->q));
	assert_int_equal(guest_get16(&x->g, avail_event), 1);
	offer(x, 1, 0);
	assert_true(virtq_kicks_on(&x->q));
}

static void test_flags(void **state)
{
	struct fixture *x = *state;

	x->q.event_idx = false;
	virtq_push(&x->q, 0, 0);
	assert_true(virtq_wants_interrupt(&x->q));
	guest_put16(&x->g, AVAIL, 1); /* NO_INTERRUPT */
	assert_false(virtq_wants_interrupt(&x->q));
	virtq_kicks_off(&x->q);
	assert_int_equal(guest_get16(&x->g, USED), 1); /* NO_NOTIFY */
	assert_false(virtq_kicks_on(&x->q));
	assert_int_equal(guest_get16(&x->g, USED), 0);
}

/* Rings of noise: every chain popped lies in guest memory. */
static void test_random_rings(void **state)
{
	struct fixture *x = *state;
	unsigned int seed = 0x7169, good = 0;

	print_message("seed %#x\n", seed);
	for (unsigned int i = 0; i < 200000; i++) {
		unsigned int at = (unsigned int)rand_r(&seed) % SIZE;
		unsigned int r = (unsigned int)rand_r(&seed);
		int got;

		guest_desc(&x->g, r & 1 ? DESC : TABLE, at,
			   r & 2 ? TABLE : DATA + (r >> 8) % 0x1000,
			   (r & 0xc) == 0 ? (uint32_t)rand_r(&seed) * 2 :
					    16 * (r >> 4 & 15),
			   r >> 8 & 7, (uint16_t)(r >> 16 & 0x1f));
		offer(x, x->q.next_avail, (uint16_t)(r >> 12 & 0x1f));
		if ((r & 0xff000000) == 0)
			guest_put16(&x->g, AVAIL + 2, (uint16_t)r);
		got = pop(x);
		assert_true(got < 0 ? x->why != NULL : x->why == NULL);
		if (got <= 0)
			continue;
		good++;
		for (unsigned int v = 0;
		     v < x->chain.readable.count + x->chain.writable.count;
		     v++) {
			uint8_t *p = x->chain.iov[v].iov_base;
			uint8_t *low = guest_ptr(&x->g, 0, 1);

			assert_in_range(p, low, low + GUEST_LOW_BYTES - 1);
			assert_in_range(p + x->chain.iov[v].iov_len, low,
					low + GUEST_LOW_BYTES);
		}
		virtq_push(&x->q, x->chain.head, 0);
	}
	assert_true(good > 1000);
}

static void test_iovs(void **state)
{
	uint8_t bytes[10] = "012345678", out[10];
	struct iovec iov[3] = { { bytes, 3 },
				{ bytes + 3, 1 },
				{ bytes + 4, 5 } };
	struct iovs v = { .iov = iov, .count = 3, .bytes = 9 };

	(void)state;
	assert_ptr_equal(iovs_cut_last(&v), bytes + 8);
	assert_int_equal(iovs_take(&v, out, 2), 2);
	assert_memory_equal(out, "01", 2);
	iovs_skip(&v, 1);
	assert_int_equal(v.bytes, 5);
	assert_int_equal(v.count, 2);
	assert_int_equal(iovs_put(&v, "abc", 3), 3);
	assert_memory_equal(bytes, "012abc678", 9);
	assert_int_equal(iovs_take(&v, out, sizeof(out)), 2);
	assert_memory_equal(out, "67", 2);
	assert_null(iovs_cut_last(&v));
	assert_int_equal(v.count, 0);
	iovs_skip(&v, 100);
	assert_int_equal(iovs_put(&v, "x", 1), 0);
}

#define TEST(label, function)                          \
	{                                              \
		label, function, setup, teardown, NULL \
	}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST("virtq-chain", test_chain),
		TEST("virtq-indirect", test_indirect),
		TEST("virtq-wraps", test_wraps),
		TEST("virtq-bad-chains", test_bad_chains),
		TEST("virtq-bad-addresses", test_bad_addresses),
		TEST("virtq-too-much", test_too_much),
		TEST("virtq-bad-indirect", test_bad_indirect),
		TEST("virtq-bad-layouts", test_bad_layouts),
		TEST("virtq-event-idx", test_event_idx),
		TEST("virtq-flags", test_flags),
		TEST("virtq-random-rings", test_random_rings),
		{ "virtio-iovs", test_iovs, NULL, NULL, NULL },
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
