/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two vCPUs and a device over the same pages, 10,000 times, with random delays
 * in the source: every byte is right, and every page is read once.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/pager/lib.h"

#define ROUNDS 10000
#define PAGES  64
#define RACERS 3

struct race {
	struct memory memory;
	int fd; /* memory is mapped from it; -1: it is anonymous */
	struct pager *pager;
	pthread_barrier_t begin, end;
	atomic_uint wrong;
	bool over;
};

struct racer {
	struct race *race;
	unsigned int number; /* the last is the device */
};

/* One round of the device: reads through the accessor. */
static void device_round(struct race *race)
{
	uint8_t data[4 * PAGE_BYTES];

	for (uint64_t page = 0; page + 4 <= PAGES; page += 4) {
		if (page < PAGES / 2 && page + 4 > PAGES / 2)
			continue;
		if (memory_read(&race->memory, test_gpa(&race->memory, page),
				data, sizeof(data)) < 0)
			atomic_fetch_add(&race->wrong, 1);
		for (uint64_t n = 0; n < 4; n++)
			if (!test_page_is(data + n * PAGE_BYTES, page + n))
				atomic_fetch_add(&race->wrong, 1);
	}
}

/* One round of a vCPU: even ones go up, odd ones down. */
static void vcpu_round(struct race *race, unsigned int number)
{
	for (uint64_t n = 0; n < PAGES; n++) {
		uint64_t page = number % 2 ? PAGES - 1 - n : n;
		const void *data = test_vcpu_access(&race->memory, race->pager,
						    number, page);

		if (!data || !test_page_is(data, page))
			atomic_fetch_add(&race->wrong, 1);
	}
}

static void *racer_main(void *arg)
{
	struct racer *racer = arg;
	struct race *race = racer->race;

	for (;;) {
		pthread_barrier_wait(&race->begin);
		if (race->over)
			return NULL;
		if (racer->number == RACERS - 1)
			device_round(race);
		else
			vcpu_round(race, racer->number);
		pthread_barrier_wait(&race->end);
	}
}

/* One round with a fresh memory. */
static void run_round(struct race *race, enum pager_mode mode,
		      unsigned int round, uint32_t granule)
{
	struct page_source *source = test_source(PAGES), *outer = source;
	struct pager_config config = { .mode = mode,
				       .memory = &race->memory,
				       .run_pages = 1U << round % 6,
				       .trace_fd = -1 };

	/* One round in eight with delays: they are what takes the time. */
	if (round % 8 == 0)
		assert_int_equal(source_inject_create(&outer, source,
						      "jitter=30"),
				 0);
	config.source = outer;
	test_memory_from(&race->memory, PAGES, granule, race->fd,
			 race->fd < 0 ? NULL : source);
	assert_int_equal(pager_prepare(&race->memory, mode), 0);
	assert_int_equal(pager_create(&race->pager, &config), 0);
	pthread_barrier_wait(&race->begin);
	pthread_barrier_wait(&race->end);
	assert_int_equal(test_source_most(source), 1);
	pager_destroy(race->pager);
	pager_unprepare(&race->memory);
	memory_finish(&race->memory);
}

/* All rounds. */
static void run_race_from(enum pager_mode mode, unsigned int rounds,
			  uint32_t granule, int fd)
{
	struct race race = { .fd = fd };
	struct racer racers[RACERS];
	pthread_t threads[RACERS];

	pthread_barrier_init(&race.begin, NULL, RACERS + 1);
	pthread_barrier_init(&race.end, NULL, RACERS + 1);
	for (unsigned int i = 0; i < RACERS; i++) {
		racers[i] = (struct racer){ &race, i };
		pthread_create(&threads[i], NULL, racer_main, &racers[i]);
	}
	for (unsigned int round = 0; round < rounds; round++)
		run_round(&race, mode, round, granule);
	race.over = true;
	pthread_barrier_wait(&race.begin);
	for (unsigned int i = 0; i < RACERS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&race.begin);
	pthread_barrier_destroy(&race.end);
	assert_int_equal(atomic_load(&race.wrong), 0);
}

/* The same with anonymous memory. */
static void run_race(enum pager_mode mode, unsigned int rounds,
		     uint32_t granule)
{
	run_race_from(mode, rounds, granule, -1);
}

/* Through the bitmap. */
static void race_userfault(void **state)
{
	(void)state;
	run_race(PAGER_USERFAULT, ROUNDS, 0);
}

/* Through the bitmap, over a mapped file: each page is checked once. */
static void race_mapped(void **state)
{
	int fd = test_source_file(PAGES);

	(void)state;
	run_race_from(PAGER_USERFAULT, ROUNDS, 0, fd);
	run_race_from(PAGER_USERFAULT, ROUNDS / 5, 16, fd);
	close(fd);
}

/* Through userfaultfd, whose thread is a fourth. */
static void race_uffd(void **state)
{
	(void)state;
	if (!test_has_uffd())
		skip();
	run_race(PAGER_UFFD, ROUNDS / 5, 0);
}

/* On a host whose pages are larger: each is read once by one of them. */
static void race_granules(void **state)
{
	(void)state;
	run_race(PAGER_USERFAULT, ROUNDS / 5, 4);
	run_race(PAGER_USERFAULT, ROUNDS / 5, 16);
	if (test_has_uffd())
		run_race(PAGER_UFFD, ROUNDS / 10, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(race_userfault),
		cmocka_unit_test(race_mapped),
		cmocka_unit_test(race_uffd),
		cmocka_unit_test(race_granules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
