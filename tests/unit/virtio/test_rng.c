// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio entropy.
 */
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest.h"
#include "vmm/base/bytes.h"

struct fixture {
	struct guest g;
	struct device device;
	struct guest_device d;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	guest_init(&x->g);
	assert_int_equal(virtio_rng_create(&x->device, &x->g.host, "rng"), 0);
	guest_find(&x->g, &x->d, 1);
	guest_start(&x->d, UINT64_MAX, 1);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	guest_destroy(&x->g, &x->device);
	guest_finish(&x->g);
	free(x);
	return 0;
}

static uint32_t ask(struct fixture *x, const struct guest_buffer *b,
		    unsigned int count)
{
	uint32_t head, len;

	guest_add(&x->d, 0, b, count);
	guest_kick(&x->d, 0);
	assert_true(guest_used(&x->d, 0, &head, &len));
	return len;
}

static void test_fills(void **state)
{
	struct fixture *x = *state;
	struct guest_buffer b[2] = { { GUEST_HIGH, 64, GUEST_WRITE },
				     { GUEST_HIGH + 128, 64, GUEST_WRITE } };
	static const uint8_t zeros[64];
	uint8_t *p = guest_ptr(&x->g, GUEST_HIGH, 256);

	assert_int_equal(ask(x, b, 2), 128);
	assert_memory_not_equal(p, zeros, 64);
	assert_memory_not_equal(p + 128, zeros, 64);
	assert_memory_not_equal(p, p + 128, 64);
	/* Only the buffer was written. */
	assert_memory_equal(p + 64, zeros, 64);
	assert_memory_equal(p + 192, zeros, 64);
}

static void test_bounded(void **state)
{
	struct fixture *x = *state;
	struct guest_buffer b = { GUEST_HIGH, GUEST_HIGH_BYTES, GUEST_WRITE };
	struct guest_buffer readable = { GUEST_HIGH, 64, 0 };

	assert_int_equal(ask(x, &b, 1), 64 * KIB);
	assert_int_equal(ask(x, &readable, 1), 0);
	assert_int_equal(guest_status(&x->d), 15);
}

/* A driver that refills the ring faster than one turn of the loop. */
static void test_keeps_up(void **state)
{
	struct fixture *x = *state;
	struct guest_buffer b = { GUEST_HIGH, 8, GUEST_WRITE };
	unsigned int outstanding = 0, done = 0;
	uint32_t head, len;

	while (done < 20000) {
		while (outstanding < 64) {
			guest_add(&x->d, 0, &b, 1);
			outstanding++;
		}
		guest_kick(&x->d, 0);
		assert_true(guest_used(&x->d, 0, &head, &len));
		do {
			assert_int_equal(len, 8);
			outstanding--;
			done++;
		} while (guest_used_now(&x->d, 0, &head, &len));
	}
}

#define TEST(label, function)                          \
	{                                              \
		label, function, setup, teardown, NULL \
	}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST("rng-fills", test_fills),
		TEST("rng-bounded", test_bounded),
		TEST("rng-keeps-up", test_keeps_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
