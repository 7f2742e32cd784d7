/* SPDX-License-Identifier: BSD-2-Clause */
/* Every range of bits over three words, against one bit after the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/base/bits.h"

#define BITS 192

static void sets_ranges(void **state)
{
	(void)state;
	assert_int_equal(bits_words(0), 0);
	assert_int_equal(bits_words(64), 1);
	assert_int_equal(bits_words(65), 2);
	for (uint64_t at = 0; at < BITS; at++) {
		for (uint64_t end = at; end <= BITS; end++) {
			_Atomic uint64_t atomic[BITS / 64] = { 0 };
			uint64_t bits[BITS / 64] = { 0 };

			bits_set(bits, at, end);
			bits_set_atomic(atomic, at, end);
			assert_memory_equal(bits, (void *)atomic, sizeof(bits));
			for (uint64_t i = 0; i < BITS; i++)
				assert_int_equal(bits[i / 64] >> i % 64 & 1,
						 i >= at && i < end);
			memset(bits, 0xff, sizeof(bits));
			bits_clear(bits, at, end);
			for (uint64_t i = 0; i < BITS; i++)
				assert_int_equal(bits[i / 64] >> i % 64 & 1,
						 i < at || i >= end);
		}
	}
}

static void keeps_other_bits(void **state)
{
	uint64_t bits[2] = { 1, UINT64_C(1) << 63 };

	(void)state;
	bits_set(bits, 60, 70);
	assert_int_equal(bits[0], UINT64_C(0xf000000000000001));
	assert_int_equal(bits[1], UINT64_C(0x800000000000003f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_ranges),
		cmocka_unit_test(keeps_other_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
