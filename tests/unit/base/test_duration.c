/* SPDX-License-Identifier: BSD-2-Clause */
/* Durations as people write them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vmm/base/bytes.h"
#include "vmm/base/duration.h"

#define MS UINT64_C(1000000)

static void good(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} rows[] = {
		{ "0", 0 },
		{ "90", 90000 * MS },
		{ "90s", 90000 * MS },
		{ "500ms", 500 * MS },
		{ "0.5", 500 * MS },
		{ "5m", 300000 * MS },
		{ "1.5h", 5400000 * MS },
		{ "0.000000001", 1 },
		{ "0.00000000099", 0 },
		{ "0.999999999h", UINT64_C(3599999996400) },
		{ "876000h", DURATION_MAX_NS },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t ns = 1;

		assert_int_equal(duration_parse(rows[i].text, &ns), 0);
		assert_int_equal(ns, rows[i].ns);
	}
}

/* Neither of these changes the result. */
static void bad(void **state)
{
	static const struct {
		const char *text;
		int err;
	} rows[] = {
		{ "", -EINVAL },
		{ "s", -EINVAL },
		{ "-1", -EINVAL },
		{ " 1", -EINVAL },
		{ "1 s", -EINVAL },
		{ "1.", -EINVAL },
		{ ".5", -EINVAL },
		{ "1x", -EINVAL },
		{ "1d", -EINVAL },
		{ "1mm", -EINVAL },
		{ "1.5.5", -EINVAL },
		{ "1e3", -EINVAL },
		{ "876001h", -ERANGE },
		{ "99999999999999999999999h", -ERANGE },
		{ "3153600001s", -ERANGE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t ns = 42;

		assert_int_equal(duration_parse(rows[i].text, &ns),
				 rows[i].err);
		assert_int_equal(ns, 42);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
