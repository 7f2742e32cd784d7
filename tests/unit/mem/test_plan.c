/* SPDX-License-Identifier: BSD-2-Clause */
/* The load plan: order, overlap, application. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vmm/mem/plan.h"

/* Segments come out sorted, whatever the order they went in. */
static void keeps_order(void **state)
{
	static const gpa_t places[] = { 500, 100, 300, 0, 700, 200 };
	struct plan plan = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		assert_int_equal(plan_add_bytes(&plan, "x", places[i], "0123",
						4),
				 0);
	assert_int_equal(plan.count, ARRAY_SIZE(places));
	for (size_t i = 1; i < plan.count; i++)
		assert_true(plan.segments[i - 1].gpa < plan.segments[i].gpa);
	plan_finish(&plan);
}

/* Every kind of overlap is refused; touching is not one. */
static void refuses_overlap(void **state)
{
	static const struct {
		gpa_t gpa;
		uint64_t len;
		int want;
	} tries[] = {
		{ 90, 10, 0 },
		{ 90, 1, -ERANGE },
		{ 110, 10, 0 },
		{ 109, 1, -ERANGE },
		{ 100, 10, -ERANGE },
		{ 105, 1, -ERANGE },
		{ 80, 200, -ERANGE },
		{ 85, 6, -ERANGE },
		{ 119, 5, -ERANGE },
		{ 120, 5, 0 },
		{ UINT64_MAX - 1, 8, -ERANGE },
	};
	static const char bytes[200];
	struct plan plan = { 0 };

	(void)state;
	assert_int_equal(plan_add_bytes(&plan, "first", 100, bytes, 10), 0);
	for (size_t i = 0; i < ARRAY_SIZE(tries); i++)
		assert_int_equal(plan_add_bytes(&plan, "next", tries[i].gpa,
						bytes, tries[i].len),
				 tries[i].want);
	plan_finish(&plan);
}

/* A search finds the first that reaches in. */
static void finds(void **state)
{
	struct plan plan = { 0 };

	(void)state;
	plan_add_bytes(&plan, "a", 100, "0123456789", 10);
	plan_add_bytes(&plan, "b", 200, "0123456789", 10);
	assert_null(plan_find(&plan, 0, 100));
	assert_string_equal(plan_find(&plan, 0, 101)->what, "a");
	assert_string_equal(plan_find(&plan, 109, 1)->what, "a");
	assert_null(plan_find(&plan, 110, 90));
	assert_string_equal(plan_find(&plan, 110, 91)->what, "b");
	assert_string_equal(plan_find(&plan, 0, UINT64_MAX)->what, "a");
	assert_null(plan_find(&plan, 210, UINT64_MAX - 210));
	plan_finish(&plan);
}

/* What does not lie in RAM is an error when it is applied. */
static void applies(void **state)
{
	const struct memory_range range = { 0x1000, 0x1000 };
	const struct memory_config config = { .backing = MEMORY_ANON,
					      .ranges = &range,
					      .range_count = 1 };
	struct memory memory;
	struct plan plan = { 0 };
	char got[3];

	(void)state;
	assert_int_equal(memory_init(&memory, &config, NULL), 0);
	plan_add_bytes(&plan, "in", 0x1ffd, "abc", 3);
	assert_int_equal(plan_apply(&plan, &memory), 0);
	assert_int_equal(memory_read(&memory, 0x1ffd, got, 3), 0);
	assert_memory_equal(got, "abc", 3);
	plan_add_bytes(&plan, "out", 0x2000, "d", 1);
	assert_int_equal(plan_apply(&plan, &memory), -EFAULT);
	plan_finish(&plan);
	memory_finish(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_order),
		cmocka_unit_test(refuses_overlap),
		cmocka_unit_test(finds),
		cmocka_unit_test(applies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
