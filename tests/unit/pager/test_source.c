/* SPDX-License-Identifier: BSD-2-Clause */
/* Page sources: the load plan, and fault injection around another. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/pager/lib.h"
#include "vmm/mem/plan.h"

/* A file of @len bytes, the byte at each place being the place modulo 251. */
static int make_file(size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	for (size_t i = 0; i < len; i++) {
		uint8_t byte = (uint8_t)(i % 251);

		assert_int_equal(write(fd, &byte, 1), 1);
	}
	return fd;
}

/* Two segments in one page, at odd addresses, with zeros around. */
static void plan_lays_segments_over_zeros(void **state)
{
	struct memory memory;
	struct plan plan = { 0 };
	struct page_source *source;
	uint8_t pages[2 * PAGE_BYTES];
	int fd = make_file(5000);

	(void)state;
	test_memory(&memory, 64);
	assert_int_equal(plan_add_bytes(&plan, "bytes", TEST_BASE + 100, "abc",
					3),
			 0);
	assert_int_equal(plan_add_file(&plan, "file", TEST_BASE + 4000, 4900,
				       fd, 100),
			 0);
	assert_int_equal(source_plan_create(&source, &plan, &memory), 0);
	assert_int_equal(source->run_count, 1);
	assert_int_equal(source->runs[0].first, 0);
	assert_int_equal(source->runs[0].count, 3);
	memset(pages, 0xee, sizeof(pages));
	assert_int_equal(source->ops->read(source, 0, 2, pages), 0);
	assert_memory_equal(pages + 100, "abc", 3);
	for (size_t i = 0; i < sizeof(pages); i++) {
		uint8_t want = i >= 4000 ? (uint8_t)((i - 3900) % 251) : 0;

		if (i < 100 || i >= 103)
			assert_int_equal(pages[i], want);
	}
	assert_string_equal(source->ops->describe(source, 2), "file");
	page_source_destroy(source);
	close(fd);
	memory_finish(&memory);
}

/* What is far apart makes two runs; what lies outside RAM is refused. */
static void plan_runs(void **state)
{
	struct memory memory;
	struct plan plan = { 0 };
	struct page_source *source;

	(void)state;
	test_memory(&memory, 64);
	plan_add_bytes(&plan, "a", TEST_BASE, "x", 1);
	plan_add_bytes(&plan, "b", TEST_BASE + PAGE_BYTES, "x", 1);
	plan_add_bytes(&plan, "c", TEST_BASE + 20 * PAGE_BYTES, "x", 1);
	assert_int_equal(source_plan_create(&source, &plan, &memory), 0);
	assert_int_equal(source->run_count, 2);
	assert_ptr_equal(page_source_find(source, 1), &source->runs[0]);
	assert_null(page_source_find(source, 2));
	assert_ptr_equal(page_source_find(source, 20), &source->runs[1]);
	assert_null(page_source_find(source, 21));
	page_source_destroy(source);
	plan_add_bytes(&plan, "out", TEST_BASE - 1, "x", 1);
	assert_int_equal(source_plan_create(&source, &plan, &memory), -EFAULT);
	plan_finish(&plan);
	memory_finish(&memory);
}

/* A file that has become shorter is an error, not zeros. */
static void plan_short_file(void **state)
{
	struct memory memory;
	struct plan plan = { 0 };
	struct page_source *source;
	uint8_t page[PAGE_BYTES];
	int fd = make_file(5000);

	(void)state;
	test_memory(&memory, 64);
	plan_add_file(&plan, "file", TEST_BASE, 5000, fd, 0);
	assert_int_equal(ftruncate(fd, 4500), 0);
	assert_int_equal(source_plan_create(&source, &plan, &memory), 0);
	assert_int_equal(source->ops->read(source, 0, 1, page), 0);
	assert_int_equal(source->ops->read(source, 1, 1, page), -ENODATA);
	page_source_destroy(source);
	close(fd);
	memory_finish(&memory);
}

/* Each word does to a read what it says. */
static void inject_rules(void **state)
{
	struct page_source *source;
	uint8_t page[PAGE_BYTES];

	(void)state;
	assert_int_equal(
		source_inject_create(&source, test_source(64),
				     "once@2,always@4,short@5,short=2@6"),
		0);
	assert_int_equal(source->ops->read(source, 1, 1, page), 0);
	assert_true(test_page_is(page, 1));
	assert_int_equal(source->ops->read(source, 2, 1, page), -EIO);
	assert_int_equal(source->ops->read(source, 2, 1, page), 0);
	assert_true(test_page_is(page, 2));
	assert_int_equal(source->ops->read(source, 4, 1, page), -EIO);
	assert_int_equal(source->ops->read(source, 4, 1, page), -EIO);
	assert_int_equal(source->ops->read(source, 5, 1, page), -EIO);
	assert_int_equal(source->ops->read(source, 6, 1, page), -EIO);
	assert_int_equal(source->ops->read(source, 6, 1, page), -EIO);
	assert_false(test_page_is(page, 6));
	assert_int_equal(source->ops->read(source, 6, 1, page), 0);
	assert_true(test_page_is(page, 6));
	page_source_destroy(source);
}

/* Pages can be named as the inner source names them, or be left out. */
static void inject_names(void **state)
{
	static const char *const specs[] = { "always@test pages",
					     "delay=1@test pages,always@any" };
	struct page_source *source;
	uint8_t page[PAGE_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		assert_int_equal(source_inject_create(&source, test_source(64),
						      specs[i]),
				 0);
		assert_int_equal(source->ops->read(source, 7, 1, page), -EIO);
		page_source_destroy(source);
	}
	assert_int_equal(source_inject_create(&source, test_source(64),
					      "always@other,jitter=9@3"),
			 0);
	assert_int_equal(source->ops->read(source, 7, 1, page), 0);
	assert_true(test_page_is(page, 7));
	page_source_destroy(source);
}

/* An error that goes away with a file. */
static void inject_while(void **state)
{
	char path[] = "/tmp/thaw-while.XXXXXX";
	char spec[sizeof(path) + 8];
	struct page_source *source;
	uint8_t page[PAGE_BYTES];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	snprintf(spec, sizeof(spec), "while=%s@7", path);
	assert_int_equal(source_inject_create(&source, test_source(64), spec),
			 0);
	assert_int_equal(source->ops->read(source, 7, 1, page), -EIO);
	assert_int_equal(source->ops->read(source, 8, 1, page), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(source->ops->read(source, 7, 1, page), 0);
	assert_true(test_page_is(page, 7));
	page_source_destroy(source);
}

/* Words that make no sense are refused. */
static void inject_bad_words(void **state)
{
	static const char *const bad[] = {
		"",	  "sometimes@3", "once@",   "once",
		"delay",  "delay=5s",	 "once@1,", "short@1x",
		"while=", "delay=@1",	 "oncex@1"
	};
	struct page_source *source;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(source_inject_create(&source, test_source(64),
						      bad[i]),
				 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plan_lays_segments_over_zeros),
		cmocka_unit_test(plan_runs),
		cmocka_unit_test(plan_short_file),
		cmocka_unit_test(inject_rules),
		cmocka_unit_test(inject_names),
		cmocka_unit_test(inject_while),
		cmocka_unit_test(inject_bad_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
