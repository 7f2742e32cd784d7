/* SPDX-License-Identifier: BSD-2-Clause */
/* The states of pages: claims, waiting, publication. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vmm/pager/pages.h"

/* Pages are present until they are made absent, and can be claimed once. */
static void claims_once(void **state)
{
	struct pages pages;

	(void)state;
	assert_int_equal(pages_init(&pages, 100, 1), 0);
	assert_true(pages_is_present(&pages, 7));
	assert_int_equal(pages_claim(&pages, 7), PAGES_PRESENT);
	pages_set_absent(&pages, 5, 10);
	assert_int_equal(pages_absent(&pages), 10);
	assert_int_equal(pages_claim(&pages, 7), PAGES_CLAIMED);
	assert_int_equal(pages_claim(&pages, 7), PAGES_BUSY);
	pages_release(&pages, 7, 1);
	assert_int_equal(pages_claim(&pages, 7), PAGES_CLAIMED);
	pages_publish(&pages, 7, 1);
	assert_int_equal(pages_claim(&pages, 7), PAGES_PRESENT);
	assert_int_equal(pages_absent(&pages), 9);
	assert_true(pages_is_present(&pages, 15));
	assert_false(pages_is_present(&pages, 14));
	pages_finish(&pages);
}

/* What holds for one page of a granule holds for all of it. */
static void granule_is_one(void **state)
{
	struct pages pages;

	(void)state;
	assert_int_equal(pages_init(&pages, 96, 16), 0);
	pages_set_absent(&pages, 16, 32);
	assert_true(pages_is_present(&pages, 15));
	assert_true(pages_is_present(&pages, 48));
	assert_int_equal(pages_claim(&pages, 31), PAGES_CLAIMED);
	assert_int_equal(pages_claim(&pages, 16), PAGES_BUSY);
	assert_int_equal(pages_claim(&pages, 32), PAGES_CLAIMED);
	pages_publish(&pages, 16, 16);
	assert_true(pages_is_present(&pages, 20));
	assert_false(pages_is_present(&pages, 32));
	pages_release(&pages, 32, 16);
	assert_int_equal(pages_claim(&pages, 40), PAGES_CLAIMED);
	pages_publish(&pages, 32, 16);
	assert_int_equal(pages_absent(&pages), 0);
	pages_finish(&pages);
}

/* Chunks of the count: only the very last page completes it. */
static void last_page_completes(void **state)
{
	const uint64_t count = 3 * PAGES_CHUNK + 32;
	struct pages pages;

	(void)state;
	assert_int_equal(pages_init(&pages, count, 1), 0);
	assert_true(pages_are_complete(&pages));
	/* In two parts of a chunk, and over three of them. */
	pages_set_absent(&pages, PAGES_CHUNK - 8, 4);
	pages_set_absent(&pages, PAGES_CHUNK - 4, 2 * PAGES_CHUNK + 8);
	assert_int_equal(pages_absent(&pages), 2 * PAGES_CHUNK + 12);
	for (uint64_t page = 0; page < count; page++)
		assert_int_equal(pages_claim(&pages, page) == PAGES_CLAIMED,
				 page >= PAGES_CHUNK - 8 &&
					 page < 3 * PAGES_CHUNK + 4);
	assert_false(
		pages_publish(&pages, PAGES_CHUNK - 4, 2 * PAGES_CHUNK + 7));
	assert_int_equal(pages_absent(&pages), 5);
	assert_false(pages_publish(&pages, PAGES_CHUNK - 8, 4));
	assert_false(pages_are_complete(&pages));
	assert_true(pages_publish(&pages, 3 * PAGES_CHUNK + 3, 1));
	assert_true(pages_are_complete(&pages));
	assert_int_equal(pages_absent(&pages), 0);
	pages_finish(&pages);
}

#define ROUNDS 20000

struct race {
	struct pages pages;
	int plain[ROUNDS]; /* guarded by the page's state alone */
	atomic_uint fills, last;
};

/* Fills every page or waits for it, and checks what was written. */
static void *racer(void *arg)
{
	struct race *race = arg;

	for (uint64_t page = 0; page < ROUNDS; page++) {
		while (!pages_is_present(&race->pages, page)) {
			switch (pages_claim(&race->pages, page)) {
			case PAGES_CLAIMED:
				race->plain[page] = (int)page;
				atomic_fetch_add(&race->fills, 1);
				if (pages_publish(&race->pages, page, 1))
					atomic_fetch_add(&race->last, 1);
				break;
			case PAGES_BUSY:
				pages_wait(&race->pages, page);
				break;
			case PAGES_PRESENT:
				break;
			}
		}
		if (race->plain[page] != (int)page)
			return race;
	}
	return NULL;
}

/* Four threads over the same pages: each is filled by one, seen by all. */
static void waiters_see_what_was_published(void **state)
{
	static struct race race;
	pthread_t threads[4];

	(void)state;
	assert_int_equal(pages_init(&race.pages, ROUNDS, 1), 0);
	pages_set_absent(&race.pages, 0, ROUNDS);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, racer, &race);
	for (int i = 0; i < 4; i++) {
		void *bad;

		pthread_join(threads[i], &bad);
		assert_null(bad);
	}
	assert_int_equal(atomic_load(&race.fills), ROUNDS);
	assert_int_equal(atomic_load(&race.last), 1);
	assert_int_equal(pages_absent(&race.pages), 0);
	pages_finish(&race.pages);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(claims_once),
		cmocka_unit_test(granule_is_one),
		cmocka_unit_test(last_page_completes),
		cmocka_unit_test(waiters_see_what_was_published),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
