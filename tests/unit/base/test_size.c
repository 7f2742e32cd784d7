/* SPDX-License-Identifier: BSD-2-Clause */
/* Sizes as people write them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vmm/base/bytes.h"
#include "vmm/base/size.h"

/* What is a size, and which. */
static void good(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} rows[] = {
		{ "0", 0 },
		{ "512", 512 * MIB },
		{ "512M", 512 * MIB },
		{ "64k", 64 * KIB },
		{ "2G", 2 * GIB },
		{ "2g", 2 * GIB },
		{ "1T", TIB },
		{ "4096B", 4096 },
		{ "1.5G", 1536 * MIB },
		{ "0.5T", 512 * GIB },
		{ "0.25", 256 * KIB },
		{ "1KiB", 1024 },
		{ "1kB", 1024 },
		{ "1GiB", GIB },
		{ "16777215T", UINT64_C(16777215) * TIB },
		{ "18446744073709551615B", UINT64_MAX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t bytes = 1;

		assert_int_equal(size_parse(rows[i].text, &bytes), 0);
		assert_int_equal(bytes, rows[i].bytes);
	}
}

/* What is none, and that the result is left alone. */
static void bad(void **state)
{
	static const struct {
		const char *text;
		int err;
	} rows[] = {
		{ "", -EINVAL },
		{ "M", -EINVAL },
		{ "12Q", -EINVAL },
		{ "-1", -EINVAL },
		{ "+1", -EINVAL },
		{ " 1", -EINVAL },
		{ "1 ", -EINVAL },
		{ "1 G", -EINVAL },
		{ "1.", -EINVAL },
		{ ".5G", -EINVAL },
		{ "1GG", -EINVAL },
		{ "1Gi", -EINVAL },
		{ "1BB", -EINVAL },
		{ "1GiBx", -EINVAL },
		{ "0x10", -EINVAL },
		{ "1e3", -EINVAL },
		{ "1.5.5G", -EINVAL },
		{ "lots", -EINVAL },
		{ "16777216T", -ERANGE },
		{ "18446744073709551616B", -ERANGE },
		{ "99999999999999999999999", -ERANGE },
		{ "16777215.99999999999T", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t bytes = 42;

		assert_int_equal(size_parse(rows[i].text, &bytes), rows[i].err);
		if (rows[i].err)
			assert_int_equal(bytes, 42);
	}
}

/* What is written reads back as the same. */
static void round_trip(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} rows[] = {
		{ 0, "0B" },
		{ 1, "1B" },
		{ 1023, "1023B" },
		{ 1024, "1K" },
		{ 1536 * MIB, "1536M" },
		{ 3 * TIB, "3T" },
		{ UINT64_MAX, "18446744073709551615B" },
	};
	char text[SIZE_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t bytes;

		assert_string_equal(size_format(rows[i].bytes, text),
				    rows[i].text);
		assert_int_equal(size_parse(text, &bytes), 0);
		assert_int_equal(bytes, rows[i].bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(bad),
		cmocka_unit_test(round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
