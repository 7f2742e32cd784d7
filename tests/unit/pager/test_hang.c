/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A source that does not answer: a read that a thread needs is reported, other
 * reads are not, and all waits end when the pager ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/pager/lib.h"
#include "vmm/pager/private.h"

#define PAGES	 256
#define DEADLINE 20000000

/* A fixture whose source does what @inject says, and has little time for it. */
static void open_fixture(struct fixture *f, struct pager_config config,
			 const char *inject)
{
	config.deadline_ns = DEADLINE;
	fixture_open(f, config, inject, test_source(PAGES), PAGES);
}

/* Waits until there were @count failures; ten seconds at most. */
static void wait_failures(const struct fixture *f, unsigned int count)
{
	for (int i = 0; i < 10000 && atomic_load(&f->failures) < count; i++)
		usleep(1000);
	assert_int_equal(atomic_load(&f->failures), count);
}

/* Touches page 5 as a vCPU. */
static void *touch_five(void *arg)
{
	struct fixture *f = arg;

	return (void *)(uintptr_t)test_vcpu_access(&f->memory, f->pager, 0, 5);
}

/* Longer than the watch takes to tell of what is overdue. */
static void let_it_be_overdue(void)
{
	usleep(800000);
}

/*
 * A background read that hangs is no failure until a thread needs the page; then
 * it is one, and the guest waits.
 */
static void only_demand_is_reported(void **state)
{
	struct fixture f;
	pthread_t thread;
	void *page;

	(void)state;
	open_fixture(&f,
		     (struct pager_config){ .mode = PAGER_USERFAULT,
					    .on_error = PAGER_PAUSE,
					    .prefault_bytes_s = UINT64_MAX },
		     "never@5");
	assert_int_equal(pager_start(f.pager), 0);
	let_it_be_overdue();
	assert_int_equal(atomic_load(&f.failures), 0);
	assert_false(pager_is_stalled(f.pager));
	assert_false(pager_has_demand(f.pager));
	pthread_create(&thread, NULL, touch_five, &f);
	wait_failures(&f, 1);
	assert_true(pager_is_stalled(f.pager));
	assert_true(pager_has_demand(f.pager));
	/* Another page has nothing to do with it. */
	assert_true(
		test_page_is(test_vcpu_access(&f.memory, f.pager, 1, 70), 70));
	assert_int_equal(atomic_load(&f.failures), 1);
	pager_cancel(f.pager);
	pthread_join(thread, &page);
	assert_null(page);
	assert_false(pager_is_stalled(f.pager));
	fixture_close(&f);
}

/* Two vCPUs that need page 5, of which the source does what @inject says. */
static void begin_two(struct fixture *f, pthread_t threads[2],
		      const char *inject)
{
	open_fixture(f,
		     (struct pager_config){ .mode = PAGER_USERFAULT,
					    .on_error = PAGER_PAUSE },
		     inject);
	assert_int_equal(pager_start(f->pager), 0);
	for (unsigned int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, touch_five, f);
}

/* The pager ends while they wait. */
static void end_two(struct fixture *f, const pthread_t threads[2])
{
	pager_cancel(f->pager);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	fixture_close(f);
}

/* A thread that waits for a hung reader adds no report to the reader's. */
static void reader_is_reported_once(void **state)
{
	struct fixture f;
	pthread_t threads[2];

	(void)state;
	begin_two(&f, threads, "never@5");
	wait_failures(&f, 1);
	let_it_be_overdue();
	assert_int_equal(atomic_load(&f.failures), 1);
	end_two(&f, threads);
}

/*
 * A source that fails slowly does answer: each of its two reads, of the block
 * and of the page alone, is within the deadline, though both are not.
 */
static void slow_failure_is_no_hang(void **state)
{
	const struct pager_config config = { .mode = PAGER_USERFAULT,
					     .on_error = PAGER_PAUSE,
					     .deadline_ns =
						     UINT64_C(3000000000) };
	struct fixture f;
	pthread_t thread;

	(void)state;
	fixture_open(&f, config, "delay=2500,always@5", test_source(PAGES),
		     PAGES);
	assert_int_equal(pager_start(f.pager), 0);
	pthread_create(&thread, NULL, touch_five, &f);
	wait_failures(&f, 1);
	/* Long enough for the reads to end after a report of the watch. */
	sleep(3);
	assert_int_equal(atomic_load(&f.failures), 1);
	pager_cancel(f.pager);
	pthread_join(thread, NULL);
	fixture_close(&f);
}

/* Fills a pipe, so that a further write to it blocks. */
static void fill_pipe(int fd)
{
	char byte = 0;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (write(fd, &byte, 1) == 1)
		;
	fcntl(fd, F_SETFL, 0);
}

/* A message that blocks for longer than the deadline is not a hang either. */
static void slow_message_is_no_hang(void **state)
{
	const struct pager_config config = { .mode = PAGER_USERFAULT,
					     .on_error = PAGER_PAUSE,
					     .deadline_ns =
						     UINT64_C(1000000000) };
	struct fixture f;
	pthread_t thread;
	int ends[2], err = dup(STDERR_FILENO);

	(void)state;
	fixture_open(&f, config, "always@5", test_source(PAGES), PAGES);
	assert_int_equal(pager_start(f.pager), 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	fill_pipe(ends[1]);
	dup2(ends[1], STDERR_FILENO);
	pthread_create(&thread, NULL, touch_five, &f);
	sleep(4);
	/* Closing the reader ends the write; the log ignores its error. */
	dup2(err, STDERR_FILENO);
	close(ends[0]);
	close(ends[1]);
	wait_failures(&f, 1);
	sleep(1);
	assert_int_equal(atomic_load(&f.failures), 1);
	pager_cancel(f.pager);
	pthread_join(thread, NULL);
	fixture_close(&f);
	close(err);
}

/* A snapshot gives up, again and again, and nothing ends but it. */
static void try_fill_gives_up(void **state)
{
	static const enum pager_on_error policies[] = { PAGER_STOP,
							PAGER_PAUSE };
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
		open_fixture(&f,
			     (struct pager_config){ .mode = PAGER_USERFAULT,
						    .on_error = policies[i] },
			     "never@20");
		assert_int_equal(pager_start(f.pager), 0);
		assert_int_equal(pager_try_fill(f.pager, 0, PAGES), -ETIMEDOUT);
		assert_false(test_is_absent(f.pager, 0));
		assert_true(test_is_absent(f.pager, 20));
		assert_int_equal(pager_try_fill(f.pager, 32, 1), -ETIMEDOUT);
		assert_int_equal(pager_try_fill(f.pager, 0, 1), 0);
		let_it_be_overdue();
		assert_int_equal(atomic_load(&f.failures), 0);
		assert_false(pager_is_stalled(f.pager));
		fixture_close(&f);
	}
}

/* A snapshot gives up on a page that another thread waits for, too. */
static void try_fill_does_not_wait_for_another(void **state)
{
	struct fixture f;
	pthread_t thread;

	(void)state;
	open_fixture(&f,
		     (struct pager_config){ .mode = PAGER_USERFAULT,
					    .on_error = PAGER_PAUSE },
		     "never@5");
	assert_int_equal(pager_start(f.pager), 0);
	pthread_create(&thread, NULL, touch_five, &f);
	wait_failures(&f, 1);
	assert_int_equal(pager_try_fill(f.pager, 0, 16), -ETIMEDOUT);
	pager_cancel(f.pager);
	assert_int_equal(pager_try_fill(f.pager, 0, 16), -ECANCELED);
	pthread_join(thread, NULL);
	fixture_close(&f);
}

/* Asks for everything, as a snapshot. */
static void *try_all(void *arg)
{
	struct fixture *f = arg;

	return (void *)(intptr_t)pager_try_fill(f->pager, 0, PAGES);
}

/* The end of the pager ends a snapshot that waits. */
static void end_lets_go_of_a_try(void **state)
{
	struct fixture f;
	pthread_t thread;
	void *r;

	(void)state;
	open_fixture(&f, (struct pager_config){ .mode = PAGER_USERFAULT },
		     "never@0");
	assert_int_equal(pager_start(f.pager), 0);
	pthread_create(&thread, NULL, try_all, &f);
	usleep(10000);
	pager_stop(f.pager);
	pthread_join(thread, &r);
	assert_int_equal((intptr_t)r, -ECANCELED);
	fixture_close(&f);
}

/* Filling all at once has the same patience and the same end as a fault. */
static void fill_all_has_a_deadline(void **state)
{
	static const char *const bad[] = { "always@70", "never@70",
					   "short@70" };
	struct fixture f;
	struct pager_stats stats;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		open_fixture(&f, (struct pager_config){ .mode = PAGER_EAGER },
			     bad[i]);
		assert_int_equal(pager_fill_all(f.pager), -EIO);
		assert_int_equal(atomic_load(&f.failures), 1);
		fixture_close(&f);
	}
	open_fixture(&f, (struct pager_config){ .mode = PAGER_EAGER },
		     "once@70,delay=1");
	assert_int_equal(pager_fill_all(f.pager), 0);
	pager_stats(f.pager, &stats);
	assert_int_equal(stats.absent_pages, 0);
	assert_int_equal(stats.retries, 1);
	assert_int_equal(atomic_load(&f.failures), 0);
	for (uint64_t page = 0; page < PAGES; page++)
		assert_true(test_page_is(test_vcpu_access(&f.memory, f.pager, 0,
							  page),
					 page));
	fixture_close(&f);
}

/* Two threads that need a page which fails: one reads it, for each retry. */
static void failure_is_reported_once(void **state)
{
	struct fixture f;
	pthread_t threads[2];

	(void)state;
	begin_two(&f, threads, "always@5");
	for (unsigned int n = 1; n <= 3; n++) {
		for (int i = 0; i < 10000 && atomic_load(&f.pager->waiters) < 2;
		     i++)
			usleep(1000);
		assert_int_equal(atomic_load(&f.pager->waiters), 2);
		assert_int_equal(atomic_load(&f.failures), n);
		/* Both see the retry before they are counted anew. */
		pager_retry(f.pager);
		wait_failures(&f, n + 1);
	}
	end_two(&f, threads);
}

struct toucher {
	struct memory *memory;
	uint64_t page;
	pthread_t thread;
};

/* Reads the first word of a page, which userfaultfd stops. */
static uint64_t read_word(const struct memory *memory, uint64_t page)
{
	return *(volatile uint64_t *)(void *)memory_page_hva(memory, page);
}

static void *touch_one(void *arg)
{
	const struct toucher *toucher = arg;

	read_word(toucher->memory, toucher->page);
	return NULL;
}

/* Pages that do not come delay no other page, under userfaultfd either. */
static void hung_pages_delay_no_other(void **state)
{
	static const uint64_t hung[] = { 5, 70, 133, 170, 200 };
	struct toucher touchers[ARRAY_SIZE(hung)];
	struct fixture f;

	(void)state;
	if (!test_has_uffd())
		skip();
	open_fixture(&f,
		     (struct pager_config){ .mode = PAGER_UFFD,
					    .on_error = PAGER_PAUSE,
					    .run_pages = 1 },
		     "never@5,never@70,never@133,never@170,never@200");
	assert_int_equal(pager_start(f.pager), 0);
	for (size_t i = 0; i < ARRAY_SIZE(hung); i++) {
		touchers[i] = (struct toucher){ .memory = &f.memory,
						.page = hung[i] };
		pthread_create(&touchers[i].thread, NULL, touch_one,
			       &touchers[i]);
	}
	wait_failures(&f, ARRAY_SIZE(hung));
	for (uint64_t page = 0; page < PAGES; page++) {
		bool hangs = false;

		for (size_t i = 0; i < ARRAY_SIZE(hung); i++)
			hangs |= page == hung[i];
		if (!hangs)
			assert_int_equal(read_word(&f.memory, page),
					 test_source_has(page) ?
						 test_word(page, 0) :
						 0);
	}
	pager_stop(f.pager);
	for (size_t i = 0; i < ARRAY_SIZE(hung); i++)
		pthread_join(touchers[i].thread, NULL);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failure_is_reported_once),
		cmocka_unit_test(hung_pages_delay_no_other),
		cmocka_unit_test(only_demand_is_reported),
		cmocka_unit_test(reader_is_reported_once),
		cmocka_unit_test(slow_failure_is_no_hang),
		cmocka_unit_test(slow_message_is_no_hang),
		cmocka_unit_test(try_fill_gives_up),
		cmocka_unit_test(try_fill_does_not_wait_for_another),
		cmocka_unit_test(end_lets_go_of_a_try),
		cmocka_unit_test(fill_all_has_a_deadline),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
