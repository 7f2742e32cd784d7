/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One fault after another: contents, figures, failures by policy.  KVM is
 * played by the test (see test_vcpu_access()); userfaultfd is real.
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
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/pager/lib.h"
#include "vmm/pager/gates.h"

#define PAGES 256

/* A fixture with the usual source. */
static void open_sized(struct fixture *f, struct pager_config config,
		       const char *inject, uint64_t pages)
{
	fixture_open(f, config, inject, test_source(pages), pages);
}

/* The same, of the size that most tests want. */
static void open_fixture(struct fixture *f, struct pager_config config,
			 const char *inject)
{
	open_sized(f, config, inject, PAGES);
}

/* Every page is right, read once, in as many exits as there are blocks. */
static void vcpu_fills_runs(void **state)
{
	struct fixture f;
	struct pager_stats stats;

	(void)state;
	open_fixture(&f,
		     (struct pager_config){ .mode = PAGER_USERFAULT,
					    .run_pages = 16 },
		     NULL);
	for (uint64_t page = 0; page < PAGES; page++)
		assert_true(test_page_is(
			/* More vCPUs than have counters of their own. */
			test_vcpu_access(&f.memory, f.pager,
					 (unsigned int)(page / 16 % 40), page),
			page));
	pager_stats(f.pager, &stats);
	assert_false(pager_has_demand(f.pager));
	assert_int_equal(stats.source_pages, PAGES * 3 / 4);
	assert_int_equal(stats.absent_pages, 0);
	assert_int_equal(stats.faults[PAGER_CAUSE_VCPU], PAGES * 3 / 4 / 16);
	assert_int_equal(stats.pages[PAGER_CAUSE_VCPU], PAGES * 3 / 4);
	assert_int_equal(test_source_most(f.source), 1);
	fixture_close(&f);
}

/* With a run of one page, each page is one fault. */
static void run_length_is_kept(void **state)
{
	struct fixture f;
	struct pager_stats stats;

	(void)state;
	open_fixture(&f,
		     (struct pager_config){ .mode = PAGER_USERFAULT,
					    .run_pages = 1 },
		     NULL);
	test_vcpu_access(&f.memory, f.pager, 0, 5);
	pager_stats(f.pager, &stats);
	assert_int_equal(stats.pages[PAGER_CAUSE_VCPU], 1);
	assert_true(test_is_absent(f.pager, 4));
	assert_true(test_is_absent(f.pager, 6));
	assert_false(test_is_absent(f.pager, 5));
	fixture_close(&f);
}

/* Sequential faults fill 16, 16, 32 and 64 pages; random ones 16. */
static void walk_is_served_in_larger_pieces(void **state)
{
	static const uint64_t first[] = { 0, 16, 32, 64, 160 };
	static const uint64_t pages[] = { 16, 16, 32, 64, 16 };
	struct fixture f;
	struct pager_stats stats;
	uint64_t sum = 0;

	(void)state;
	fixture_open(&f,
		     (struct pager_config){ .mode = PAGER_USERFAULT,
					    .run_pages = 64 },
		     NULL, test_source_whole(PAGES), PAGES);
	for (unsigned int i = 0; i < ARRAY_SIZE(first); i++) {
		test_vcpu_access(&f.memory, f.pager, 0, first[i]);
		pager_stats(f.pager, &stats);
		sum += pages[i];
		assert_int_equal(stats.pages[PAGER_CAUSE_VCPU], sum);
	}
	assert_true(test_is_absent(f.pager, 159));
	assert_true(test_is_absent(f.pager, 176));
	fixture_close(&f);
}

/* A fill ends with the region, where the run of the source goes on. */
static void fill_ends_with_region(void **state)
{
	struct fixture f;
	struct pager_stats stats;

	(void)state;
	open_sized(&f, (struct pager_config){ .mode = PAGER_USERFAULT }, NULL,
		   200);
	assert_true(
		test_page_is(test_vcpu_access(&f.memory, f.pager, 0, 97), 97));
	pager_stats(f.pager, &stats);
	assert_int_equal(stats.pages[PAGER_CAUSE_VCPU], 4);
	assert_true(test_is_absent(f.pager, 100));
	for (uint64_t page = 0; page < 200; page++)
		assert_true(test_page_is(test_vcpu_access(&f.memory, f.pager, 0,
							  page),
					 page));
	fixture_close(&f);
}

/* By several threads, each page is read once, and a failure is one failure. */
static void all_pages_are_filled(void **state)
{
	static const char *const injects[] = { NULL, "jitter=200",
					       "always@9000" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(injects); i++) {
		const uint64_t pages = 16384;
		struct pager_stats stats;
		struct fixture f;

		open_sized(&f,
			   (struct pager_config){ .mode = PAGER_EAGER,
						  .run_pages =
							  PAGER_RUN_PAGES_MAX,
						  .deadline_ns = 1000000 },
			   injects[i], pages);
		assert_int_equal(pager_fill_all(f.pager), i == 2 ? -EIO : 0);
		pager_stats(f.pager, &stats);
		assert_int_equal(stats.failures, i == 2);
		assert_int_equal(stats.absent_pages != 0, i == 2);
		for (uint64_t page = 0; page < pages && i < 2; page++)
			assert_true(
				test_page_is(memory_page_hva(&f.memory, page),
					     page));
		if (i < 2)
			assert_int_equal(test_source_most(f.source), 1);
		fixture_close(&f);
	}
}

/* Waits until the pager has filled @pages in the background. */
static void wait_background(struct pager *pager, uint64_t pages)
{
	struct pager_stats stats = { 0 };

	while (stats.pages[PAGER_CAUSE_BACKGROUND] < pages) {
		usleep(1000);
		pager_stats(pager, &stats);
	}
	assert_int_equal(stats.pages[PAGER_CAUSE_BACKGROUND], pages);
}

/* What one run had filled is filled ahead by the next, in as large pieces. */
static void workingset_is_filled_as_it_was(void **state)
{
	struct pager_config config = { .mode = PAGER_USERFAULT,
				       .run_pages = 16,
				       .record = true };
	uint64_t pages[64 + 1];
	const uint64_t *recorded;
	struct pager_stats stats;
	struct fixture f;

	(void)state;
	open_fixture(&f, config, NULL);
	for (uint64_t page = 0; page < 64; page++)
		test_vcpu_access(&f.memory, f.pager, 0, page);
	pager_stop(f.pager);
	assert_int_equal(pager_recorded(f.pager, &recorded), 48);
	memcpy(pages, recorded, 48 * sizeof(pages[0]));
	/* Outside RAM: skipped. */
	pages[48] = UINT64_MAX - 3;
	fixture_close(&f);

	config.record = false;
	config.workingset = pages;
	config.workingset_count = 49;
	open_fixture(&f, config, NULL);
	assert_int_equal(pager_start(f.pager), 0);
	wait_background(f.pager, 48);
	pager_stats(f.pager, &stats);
	assert_int_equal(stats.faults[PAGER_CAUSE_BACKGROUND], 1);
	assert_int_equal(test_source_most(f.source), 1);
	for (uint64_t page = 0; page < 64; page++)
		assert_true(
			test_page_is(memory_page_hva(&f.memory, page), page));
	fixture_close(&f);
}

/* A large one is filled by several threads, each page once. */
static void large_workingset_is_filled_once(void **state)
{
	enum { MANY = 4 * 4096 };
	struct pager_config config = { .mode = PAGER_USERFAULT };
	uint64_t *pages = calloc(MANY, sizeof(*pages)), n = 0;
	struct pager_stats stats;
	struct fixture f;

	(void)state;
	/* Every other page, then the rest: with neighbours that are present. */
	for (uint64_t odd = 0; odd < 2; odd++)
		for (uint64_t page = odd; page < MANY; page += 2)
			if (test_source_has(page))
				pages[n++] = page;
	config.workingset = pages;
	config.workingset_count = n;
	open_sized(&f, config, "jitter=20", MANY);
	assert_int_equal(pager_start(f.pager), 0);
	wait_background(f.pager, n);
	pager_stats(f.pager, &stats);
	assert_int_equal(stats.absent_pages, 0);
	assert_int_equal(test_source_most(f.source), 1);
	fixture_close(&f);
	free(pages);
}

/* Pages that an earlier try has installed do not stop a later one. */
static void copy_goes_on_behind_what_is_there(void **state)
{
	struct memory memory;
	struct page_source *source = test_source(PAGES);
	struct uffd_gate gate;
	uint8_t *data = malloc(16 * PAGE_BYTES);

	(void)state;
	if (!test_has_uffd())
		skip();
	test_memory(&memory, PAGES);
	assert_int_equal(uffd_gate_open(&gate, &memory, source), 0);
	assert_int_equal(source->ops->read(source, 0, 16, data), 0);
	assert_int_equal(uffd_gate_copy(&gate, 3, 2, data + 3 * PAGE_BYTES), 0);
	assert_int_equal(uffd_gate_copy(&gate, 0, 16, data), 0);
	uffd_gate_finish(&gate);
	for (uint64_t page = 0; page < 16; page++)
		assert_true(
			test_page_is(memory.regions[0].hva + page * PAGE_BYTES,
				     page));
	page_source_destroy(source);
	memory_finish(&memory);
	free(data);
}

struct touch {
	const volatile uint8_t *at;
	atomic_bool done;
};

/* Touches a byte; for the test below. */
static void *touch_byte(void *arg)
{
	struct touch *touch = arg;

	(void)*touch->at;
	atomic_store(&touch->done, true);
	return NULL;
}

/*
 * With so many runs that a range includes zeros between them, a thread that
 * faults on such a zero is woken after pager_cancel(), too: it may be the loop,
 * which must end before the pager does.
 */
static void cancelled_pager_passes_zeros(void **state)
{
	static const uint64_t pages = 4200 * 64;
	struct fixture f;
	struct touch touch = { 0 };
	pthread_t thread;

	(void)state;
	if (!test_has_uffd())
		skip();
	open_sized(&f, (struct pager_config){ .mode = PAGER_UFFD }, NULL,
		   pages);
	pager_cancel(f.pager);
	touch.at = f.memory.regions[0].hva + 50 * PAGE_BYTES;
	pthread_create(&thread, NULL, touch_byte, &touch);
	for (int i = 0; i < 5000 && !atomic_load(&touch.done); i++)
		usleep(1000);
	assert_true(atomic_load(&touch.done));
	pthread_join(thread, NULL);
	fixture_close(&f);
}

/* A page that the source does not hold is zero, and no fault. */
static void known_zeros_cost_nothing(void **state)
{
	struct fixture f;
	struct pager_stats stats;

	(void)state;
	open_fixture(&f, (struct pager_config){ .mode = PAGER_USERFAULT },
		     NULL);
	for (uint64_t page = 48; page < 64; page++)
		assert_true(test_page_is(test_vcpu_access(&f.memory, f.pager, 0,
							  page),
					 page));
	pager_stats(f.pager, &stats);
	assert_int_equal(stats.faults[PAGER_CAUSE_VCPU], 0);
	assert_int_equal(test_source_reads(f.source), 0);
	fixture_close(&f);
}

/* The accessor populates what it is asked for. */
static void accessor_populates(void **state)
{
	struct fixture f;
	struct pager_stats stats;
	uint8_t *data = malloc(40 * PAGE_BYTES);

	(void)state;
	open_fixture(&f, (struct pager_config){ .mode = PAGER_USERFAULT },
		     NULL);
	assert_int_equal(memory_read(&f.memory, TEST_BASE + PAGE_BYTES, data,
				     40 * PAGE_BYTES),
			 0);
	for (uint64_t page = 0; page < 40; page++)
		assert_true(test_page_is(data + page * PAGE_BYTES, page + 1));
	pager_stats(f.pager, &stats);
	assert_int_equal(stats.faults[PAGER_CAUSE_DEVICE], 3);
	assert_int_equal(stats.pages[PAGER_CAUSE_DEVICE], 48);
	fixture_close(&f);
	free(data);
}

/* Waits until the pager has counted its last page; false after ten seconds. */
static bool wait_none_absent(struct pager *pager)
{
	struct pager_stats stats;

	for (int i = 0; i < 10000; i++) {
		pager_stats(pager, &stats);
		if (stats.absent_pages == 0)
			return true;
		usleep(1000);
	}
	return false;
}

/* Waits until the pager says that it is done; false after ten seconds. */
static bool wait_done(struct pager *pager)
{
	struct pager_stats stats;

	for (int i = 0; i < 10000; i++) {
		pager_stats(pager, &stats);
		if (stats.done_ns)
			return true;
		usleep(1000);
	}
	return false;
}

/* userfaultfd stops direct accesses to an absent page. */
static void uffd_fills(void **state)
{
	struct fixture f;
	struct pager_stats stats;

	(void)state;
	if (!test_has_uffd())
		skip();
	open_fixture(&f, (struct pager_config){ .mode = PAGER_UFFD }, NULL);
	for (uint64_t page = 0; page < PAGES; page++)
		assert_true(test_page_is(test_vcpu_access(&f.memory, f.pager, 0,
							  page),
					 page));
	/* The kernel wakes this thread before the filler has counted. */
	assert_true(wait_none_absent(f.pager));
	pager_stats(f.pager, &stats);
	assert_int_equal(stats.pages[PAGER_CAUSE_UFFD], PAGES * 3 / 4);
	assert_int_equal(test_source_most(f.source), 1);
	fixture_close(&f);
}

/* Background fill populates all pages and removes the gates. */
static void background_fills(void **state)
{
	struct fixture f;
	struct pager_stats stats;

	(void)state;
	open_fixture(&f,
		     (struct pager_config){ .mode = test_has_uffd() ?
							    PAGER_UFFD :
							    PAGER_USERFAULT,
					    .prefault_bytes_s = UINT64_MAX },
		     NULL);
	assert_int_equal(pager_start(f.pager), 0);
	assert_true(wait_done(f.pager));
	pager_stats(f.pager, &stats);
	assert_int_equal(stats.pages[PAGER_CAUSE_BACKGROUND], PAGES * 3 / 4);
	for (uint64_t page = 0; page < PAGES; page++)
		assert_true(test_page_is(test_vcpu_access(&f.memory, f.pager, 0,
							  page),
					 page));
	pager_stats(f.pager, &stats);
	assert_int_equal(stats.faults[PAGER_CAUSE_UFFD], 0);
	fixture_close(&f);
}

/* A transient error is retried and not reported. */
static void error_once_is_retried(void **state)
{
	struct fixture f;
	struct pager_stats stats;

	(void)state;
	open_fixture(&f, (struct pager_config){ .mode = PAGER_USERFAULT },
		     "once@5");
	assert_true(
		test_page_is(test_vcpu_access(&f.memory, f.pager, 0, 5), 5));
	pager_stats(f.pager, &stats);
	assert_int_equal(stats.retries, 1);
	assert_int_equal(stats.failures, 0);
	assert_int_equal(atomic_load(&f.failures), 0);
	fixture_close(&f);
}

/* A lasting error is reported after the deadline; the page stays absent. */
static void error_always_stops(void **state)
{
	static const char *const specs[] = { "always@5", "short@5" };
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		open_fixture(&f,
			     (struct pager_config){ .mode = PAGER_USERFAULT,
						    .deadline_ns = 20000000 },
			     specs[i]);
		assert_null(test_vcpu_access(&f.memory, f.pager, 0, 5));
		assert_int_equal(atomic_load(&f.failures), 1);
		assert_true(test_is_absent(f.pager, 5));
		/* Another block has nothing to do with it. */
		assert_true(test_page_is(test_vcpu_access(&f.memory, f.pager, 0,
							  20),
					 20));
		fixture_close(&f);
	}
}

/* Touches a page as a vCPU, for the tests below. */
static void *touch_page_five(void *arg)
{
	struct fixture *f = arg;

	return (void *)(uintptr_t)test_vcpu_access(&f->memory, f->pager, 0, 5);
}

static void *touch_page_twenty(void *arg)
{
	struct fixture *f = arg;

	return (void *)(uintptr_t)test_vcpu_access(&f->memory, f->pager, 1, 20);
}

/* Two fills that hang are reported, each of them once. */
static void hangs_are_reported_once(void **state)
{
	struct fixture f;
	pthread_t threads[2];

	(void)state;
	open_fixture(&f,
		     (struct pager_config){ .mode = PAGER_USERFAULT,
					    .on_error = PAGER_PAUSE,
					    .deadline_ns = 20000000 },
		     "never@any");
	assert_int_equal(pager_start(f.pager), 0);
	pthread_create(&threads[0], NULL, touch_page_five, &f);
	pthread_create(&threads[1], NULL, touch_page_twenty, &f);
	for (int i = 0; i < 5000 && atomic_load(&f.failures) < 2; i++)
		usleep(1000);
	/* Many looks of the watch, which comes each 5 ms. */
	usleep(200000);
	assert_int_equal(atomic_load(&f.failures), 2);
	pager_cancel(f.pager);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	fixture_close(&f);
}

/* Under "pause" a fault waits for pager_retry(), again and again. */
static void pause_waits_for_retry(void **state)
{
	struct fixture f;
	pthread_t thread;
	void *page;

	(void)state;
	open_fixture(&f,
		     (struct pager_config){ .mode = PAGER_USERFAULT,
					    .on_error = PAGER_PAUSE,
					    .deadline_ns = 1000000 },
		     "always@5");
	assert_int_equal(pager_start(f.pager), 0);
	pthread_create(&thread, NULL, touch_page_five, &f);
	for (unsigned int round = 1; round <= 3; round++) {
		for (int i = 0; i < 5000 && (!pager_is_stalled(f.pager) ||
					     atomic_load(&f.failures) < round);
		     i++)
			usleep(1000);
		assert_int_equal(atomic_load(&f.failures), round);
		assert_true(pager_is_stalled(f.pager));
		pager_retry(f.pager);
	}
	pager_cancel(f.pager);
	pthread_join(thread, &page);
	assert_null(page);
	fixture_close(&f);
}

/* While a guest is loaded, no thread waits for a retry or for ever. */
static void loader_never_hangs(void **state)
{
	static const char *const specs[] = { "always@any", "never@any" };
	struct fixture f;
	uint8_t byte;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		open_fixture(&f,
			     (struct pager_config){
				     .mode = test_has_uffd() ? PAGER_UFFD :
							       PAGER_USERFAULT,
				     .on_error = PAGER_PAUSE,
				     .deadline_ns = 20000000 },
			     specs[i]);
		assert_int_equal(memory_read(&f.memory, TEST_BASE, &byte, 1),
				 -EIO);
		assert_int_equal(atomic_load(&f.failures), 1);
		/* KVM, on behalf of the loader. */
		if (test_has_uffd())
			(void)*(volatile uint8_t *)(f.memory.regions[0].hva +
						    20 * PAGE_BYTES);
		fixture_close(&f);
	}
}

/* A snapshot gets the error; the guest does not end and no thread waits. */
static void try_fill_does_not_wait(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f,
		     (struct pager_config){ .mode = PAGER_USERFAULT,
					    .on_error = PAGER_PAUSE,
					    .deadline_ns = 20000000,
					    .record = true },
		     "always@20");
	assert_int_equal(pager_start(f.pager), 0);
	assert_int_equal(pager_try_fill(f.pager, 0, 16), 0);
	assert_false(test_is_absent(f.pager, 15));
	assert_int_equal(pager_try_fill(f.pager, 0, PAGES), -EIO);
	assert_int_equal(atomic_load(&f.failures), 0);
	assert_false(pager_is_stalled(f.pager));
	fixture_close(&f);
}

/* The trace has a line for each fault. */
static void trace_tells_faults(void **state)
{
	struct fixture f;
	struct memory *m = &f.memory;
	FILE *file = tmpfile();
	char line[200];
	unsigned int lines = 0;
	struct pager_config config = { .mode = PAGER_USERFAULT };

	(void)state;
	f = (struct fixture){ .source = test_source(PAGES) };
	test_memory(m, PAGES);
	assert_int_equal(pager_prepare(m, config.mode), 0);
	config.memory = m;
	config.source = f.source;
	config.trace_fd = fileno(file);
	assert_int_equal(pager_create(&f.pager, &config), 0);
	test_vcpu_access(m, f.pager, 3, 20);
	fixture_close(&f);
	rewind(file);
	while (fgets(line, sizeof(line), file)) {
		double at, stall;
		unsigned long long gpa, pages;
		int vcpu;

		if (line[0] == '#')
			continue;
		assert_int_equal(sscanf(line, "%lf %d %llx %llu vcpu %lf", &at,
					&vcpu, &gpa, &pages, &stall),
				 5);
		assert_int_equal(vcpu, 3);
		assert_int_equal(gpa, TEST_BASE + 16 * PAGE_BYTES);
		assert_int_equal(pages, 16);
		lines++;
	}
	assert_int_equal(lines, 1);
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vcpu_fills_runs),
		cmocka_unit_test(run_length_is_kept),
		cmocka_unit_test(walk_is_served_in_larger_pieces),
		cmocka_unit_test(fill_ends_with_region),
		cmocka_unit_test(all_pages_are_filled),
		cmocka_unit_test(workingset_is_filled_as_it_was),
		cmocka_unit_test(large_workingset_is_filled_once),
		cmocka_unit_test(copy_goes_on_behind_what_is_there),
		cmocka_unit_test(cancelled_pager_passes_zeros),
		cmocka_unit_test(known_zeros_cost_nothing),
		cmocka_unit_test(accessor_populates),
		cmocka_unit_test(uffd_fills),
		cmocka_unit_test(background_fills),
		cmocka_unit_test(error_once_is_retried),
		cmocka_unit_test(error_always_stops),
		cmocka_unit_test(hangs_are_reported_once),
		cmocka_unit_test(pause_waits_for_retry),
		cmocka_unit_test(loader_never_hangs),
		cmocka_unit_test(try_fill_does_not_wait),
		cmocka_unit_test(trace_tells_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
