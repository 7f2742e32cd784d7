/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hardware CRC-32C equals that of the tables, at every length and
 * alignment.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "vmm/arch.h"
#include "vmm/base/crc32c.h"

static void same_as_by_tables(void **state)
{
	uint8_t bytes[300];

	(void)state;
	srand(1);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)rand();
	for (size_t at = 0; at < 16; at++)
		for (size_t len = 0; len < sizeof(bytes) - at; len++) {
			uint32_t crc = (uint32_t)rand();

			assert_int_equal(arch_crc32c(crc, bytes + at, len),
					 crc32c(crc, bytes + at, len));
		}
}

/* Pages take another path, at any alignment and with bytes before and behind. */
static void pages_too(void **state)
{
	static uint8_t bytes[4 * 4096 + 64];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)rand();
	for (size_t at = 0; at < 32; at++)
		for (size_t len = 4080; len < sizeof(bytes) - at;
		     len += len % 4096 == 16 ? 4064 : 1) {
			uint32_t crc = (uint32_t)rand();

			assert_int_equal(arch_crc32c(crc, bytes + at, len),
					 crc32c(crc, bytes + at, len));
		}
	/* Each bit of a page counts. */
	for (size_t bit = 0; bit < 8 * 4096; bit += 7) {
		uint32_t before = arch_crc32c(0, bytes, 4096);

		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(arch_crc32c(0, bytes, 4096), before);
		assert_int_equal(arch_crc32c(0, bytes, 4096),
				 crc32c(0, bytes, 4096));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_as_by_tables),
		cmocka_unit_test(pages_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
