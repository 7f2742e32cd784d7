/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CRC-32C against the examples of RFC 3720, B.4, and against the definition,
 * one bit at a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/base/bytes.h"
#include "vmm/base/crc32c.h"

/* The definition: reflected, polynomial 0x82f63b78. */
static uint32_t by_bits(const uint8_t *p, size_t len)
{
	uint32_t crc = ~UINT32_C(0);

	while (len--) {
		crc ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
	}
	return ~crc;
}

/* The examples of RFC 3720, B.4. */
static void examples(void **state)
{
	uint8_t bytes[32];

	(void)state;
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(crc32c(0, bytes, 32), UINT32_C(0x8a9136aa));
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(crc32c(0, bytes, 32), UINT32_C(0x62a8ab43));
	for (unsigned int i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	assert_int_equal(crc32c(0, bytes, 32), UINT32_C(0x46dd794e));
	for (unsigned int i = 0; i < 32; i++)
		bytes[i] = (uint8_t)(31 - i);
	assert_int_equal(crc32c(0, bytes, 32), UINT32_C(0x113fdb5c));
	assert_int_equal(crc32c(0, "123456789", 9), UINT32_C(0xe3069283));
	assert_int_equal(crc32c(0, "", 0), 0);
}

/* Every byte value at every place of a step, every length and alignment. */
static void all_entries(void **state)
{
	uint8_t bytes[64];

	(void)state;
	for (unsigned int value = 0; value < 256; value++) {
		for (unsigned int at = 0; at < 16; at++) {
			memset(bytes, 0, sizeof(bytes));
			bytes[at] = (uint8_t)value;
			assert_int_equal(crc32c(0, bytes, 16),
					 by_bits(bytes, 16));
		}
	}
	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 37 + 11);
	for (unsigned int start = 0; start < 8; start++)
		for (unsigned int len = 0; len <= 40; len++)
			assert_int_equal(crc32c(0, bytes + start, len),
					 by_bits(bytes + start, len));
}

/* A text in two pieces has the checksum of the whole. */
static void in_pieces(void **state)
{
	static const char text[] = "the quick brown fox, twice over, and over";
	uint32_t whole = crc32c(0, text, sizeof(text));

	(void)state;
	for (size_t cut = 0; cut <= sizeof(text); cut++)
		assert_int_equal(crc32c(crc32c(0, text, cut), text + cut,
					sizeof(text) - cut),
				 whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples),
		cmocka_unit_test(all_entries),
		cmocka_unit_test(in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
