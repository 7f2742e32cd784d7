/* SPDX-License-Identifier: BSD-2-Clause */
/* Sorted runs: the parts of them in a range, and how they are joined. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vmm/base/bytes.h"
#include "vmm/base/run.h"

static const struct page_run runs[] = { { 3, 2 }, { 8, 4 }, { 30, 1 } };

/* Each range, by all of its parts, is what the runs have of it. */
static void parts_are_those_of_the_range(void **state)
{
	(void)state;
	for (uint64_t first = 0; first <= 40; first++) {
		for (uint64_t end = first; end <= 40; end++) {
			uint64_t at = first;
			struct page_run part;

			while (run_next(runs, ARRAY_SIZE(runs), at, end,
					&part)) {
				assert_true(part.count && part.first >= at);
				at = part.first + part.count;
				assert_true(at <= end);
			}
			assert_int_equal(part.first, end);
			assert_int_equal(part.count, 0);
		}
	}
	for (uint64_t page = 0; page <= 40; page++) {
		bool held = page == 3 || page == 4 ||
			    (page >= 8 && page < 12) || page == 30;
		struct page_run part;

		assert_int_equal(run_next(runs, ARRAY_SIZE(runs), page,
					  page + 1, &part),
				 held);
	}
}

/* Asserts that runs joined so are these. */
static void joined(uint64_t align, uint64_t gap, size_t most, size_t n,
		   const struct page_run *want)
{
	struct page_run out[ARRAY_SIZE(runs)];

	assert_int_equal(run_join(runs, ARRAY_SIZE(runs), align, gap, most,
				  out),
			 n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(out[i].first, want[i].first);
		assert_int_equal(out[i].count, want[i].count);
	}
}

/* By alignment, by a gap, and until there are few enough. */
static void runs_are_joined(void **state)
{
	(void)state;
	joined(1, 0, SIZE_MAX, 3, runs);
	joined(1, 3, SIZE_MAX, 2,
	       (const struct page_run[]){ { 3, 9 }, { 30, 1 } });
	joined(4, 0, SIZE_MAX, 2,
	       (const struct page_run[]){ { 0, 12 }, { 28, 4 } });
	joined(1, 0, 2, 2, (const struct page_run[]){ { 3, 9 }, { 30, 1 } });
	joined(1, 0, 1, 1, (const struct page_run[]){ { 3, 28 } });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_are_those_of_the_range),
		cmocka_unit_test(runs_are_joined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
