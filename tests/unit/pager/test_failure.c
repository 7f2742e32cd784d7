/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An unavailable page concerns only the threads that need it, and the messages name
 * it; its neighbours are read one by one.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/base/capture.h"
#include "tests/unit/pager/lib.h"

#define PAGES 256
#define BAD   5
/* Long enough for several reads on a busy machine. */
#define DEADLINE UINT64_C(2000000000)

/* The messages when page BAD fails: the first time, and for good. */
#define FIRST                                                                   \
	"thaw: guest memory at 0x40005000: read test pages (fault injection): " \
	"Input/output error; retrying for 2.0 s\n"
#define LAST                                                                    \
	"thaw: guest memory at 0x40005000: read test pages (fault injection): " \
	"Input/output error; the guest stops\n"

static void open_fixture(struct fixture *f, enum pager_mode mode,
			 enum pager_on_error on_error, const char *inject)
{
	const struct pager_config config = { .mode = mode,
					     .on_error = on_error,
					     .deadline_ns = DEADLINE };

	fixture_open(f, config, inject, test_source(PAGES), PAGES);
}

/* All pages but the bad one have their contents, whatever the fault-around. */
static void neighbours_are_filled(void **state)
{
	static const char *const bad[] = { "always@5", "short@5" };
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		open_fixture(&f, PAGER_USERFAULT, PAGER_STOP, bad[i]);
		for (uint64_t page = 0; page < PAGES; page++) {
			if (page == BAD)
				continue;
			assert_true(
				test_page_is(test_vcpu_access(&f.memory,
							      f.pager, 0, page),
					     page));
		}
		assert_int_equal(atomic_load(&f.failures), 0);
		assert_true(test_is_absent(f.pager, BAD));
		fixture_close(&f);
	}
}

/* A failed block is not read as a whole once more for each of its pages. */
static void failed_block_is_remembered(void **state)
{
	struct fixture f;
	struct pager_stats stats;

	(void)state;
	open_fixture(&f, PAGER_USERFAULT, PAGER_STOP, "always@5");
	for (uint64_t page = 0; page < 16; page++)
		if (page != BAD)
			test_vcpu_access(&f.memory, f.pager, 0, page);
	pager_stats(f.pager, &stats);
	assert_int_equal(stats.retries, 1);
	fixture_close(&f);
}

/* The same through userfaultfd, where pages are read aside. */
static void neighbours_are_filled_by_uffd(void **state)
{
	struct fixture f;

	(void)state;
	if (!test_has_uffd())
		skip();
	open_fixture(&f, PAGER_UFFD, PAGER_STOP, "always@5");
	for (uint64_t page = 0; page < 16; page++) {
		if (page == BAD)
			continue;
		assert_true(test_page_is(f.memory.regions[0].hva +
						 page * PAGE_BYTES,
					 page));
	}
	assert_int_equal(atomic_load(&f.failures), 0);
	fixture_close(&f);
}

/* However often it is read, a page is reported twice, with its own address. */
static void failure_is_reported_first_and_last(void **state)
{
	struct capture capture;
	struct fixture f;
	struct pager_stats stats;
	const char *text;

	(void)state;
	open_fixture(&f, PAGER_USERFAULT, PAGER_STOP, "always@5");
	capture_start(&capture, STDERR_FILENO);
	test_vcpu_access(&f.memory, f.pager, 0, BAD);
	text = capture_end(&capture);
	pager_stats(f.pager, &stats);
	assert_true(stats.retries >= 3);
	assert_string_equal(text, FIRST LAST);
	fixture_close(&f);
}

/* What passes when a block is read again, page by page, is not reported. */
static void passing_failure_is_silent(void **state)
{
	struct capture capture;
	struct fixture f;

	(void)state;
	open_fixture(&f, PAGER_USERFAULT, PAGER_STOP, "once@5");
	capture_start(&capture, STDERR_FILENO);
	test_vcpu_access(&f.memory, f.pager, 0, BAD);
	assert_string_equal(capture_end(&capture), "");
	fixture_close(&f);
}

static void *touch_bad(void *arg)
{
	struct fixture *f = arg;

	return (void *)(uintptr_t)test_vcpu_access(&f->memory, f->pager, 0,
						   BAD);
}

/* Waits until a thread stands still after a failure; ten seconds at most. */
static void wait_stuck(const struct fixture *f, unsigned int failures)
{
	for (int i = 0; i < 10000 && (!pager_is_stalled(f->pager) ||
				      atomic_load(&f->failures) < failures);
	     i++)
		usleep(1000);
	assert_int_equal(atomic_load(&f->failures), failures);
}

/*
 * While a thread waits for the bad page its neighbours are there for others,
 * and a retry reads that page alone.
 */
static void retry_reads_the_page_alone(void **state)
{
	char broken[] = "/tmp/thaw-broken.XXXXXX", inject[64];
	int fd = mkstemp(broken);
	struct pager_stats stats;
	struct fixture f;
	pthread_t thread;
	void *page;

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	snprintf(inject, sizeof(inject), "while=%s@5", broken);
	open_fixture(&f, PAGER_USERFAULT, PAGER_PAUSE, inject);
	assert_int_equal(pager_start(f.pager), 0);
	pthread_create(&thread, NULL, touch_bad, &f);
	wait_stuck(&f, 1);
	assert_true(
		test_page_is(test_vcpu_access(&f.memory, f.pager, 1, 4), 4));
	assert_int_equal(atomic_load(&f.failures), 1);
	unlink(broken);
	pager_retry(f.pager);
	pthread_join(thread, &page);
	assert_true(test_page_is(page, BAD));
	pager_stats(f.pager, &stats);
	assert_int_equal(stats.pages[PAGER_CAUSE_VCPU], 2);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(neighbours_are_filled),
		cmocka_unit_test(failed_block_is_remembered),
		cmocka_unit_test(neighbours_are_filled_by_uffd),
		cmocka_unit_test(failure_is_reported_first_and_last),
		cmocka_unit_test(passing_failure_is_silent),
		cmocka_unit_test(retry_reads_the_page_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
