/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A host whose pages are larger than ours, 16 or 64 KiB, played on this one: what
 * it maps, stops and installs is whole granules, while the source goes on in
 * pages and begins and ends a run anywhere.
 */
#include <errno.h>
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

#include "tests/unit/pager/lib.h"

#define PAGES 512

static const uint32_t sizes[] = { 4, 16 };

/* Runs that share granules, fill them, span them and the two regions. */
static const struct page_run ragged[] = {
	{ 1, 1 },   { 3, 2 },	{ 15, 1 },    { 33, 30 },
	{ 64, 16 }, { 95, 2 },	{ 130, 100 }, { 250, 12 },
	{ 300, 1 }, { 302, 1 }, { 400, 64 },  { 511, 1 },
};

/* A source of these runs. */
static struct page_source *ragged_source(void)
{
	struct page_source *source = test_source(PAGES);

	free(source->runs);
	source->runs = malloc(sizeof(ragged));
	assert_non_null(source->runs);
	memcpy(source->runs, ragged, sizeof(ragged));
	source->run_count = ARRAY_SIZE(ragged);
	return source;
}

/* Whether these runs hold the page. */
static bool holds(uint64_t page)
{
	for (size_t i = 0; i < ARRAY_SIZE(ragged); i++)
		if (page - ragged[i].first < ragged[i].count)
			return true;
	return false;
}

/* Whether any page of the granule is held. */
static bool granule_holds(uint64_t page, uint32_t granule)
{
	uint64_t first = align_down(page, granule);

	for (uint64_t i = first; i < first + granule; i++)
		if (holds(i))
			return true;
	return false;
}

/* How many pages lie in granules of which the source holds anything. */
static uint64_t widened(uint32_t granule)
{
	uint64_t pages = 0;

	for (uint64_t i = 0; i < PAGES; i += granule)
		pages += granule_holds(i, granule) ? granule : 0;
	return pages;
}

/* Asserts that @data is the page: the source's words, or zeros. */
static void assert_page(const void *data, uint64_t page)
{
	const uint64_t *words = data;

	assert_non_null(data);
	for (unsigned int i = 0; i < PAGE_BYTES / sizeof(*words); i++)
		assert_int_equal(words[i],
				 holds(page) ? test_word(page, i) : 0);
}

/* A fixture of the ragged source. */
static void open_ragged(struct fixture *f, struct pager_config config,
			const char *inject, uint32_t granule)
{
	fixture_open_granules(f, config, inject, ragged_source(), PAGES,
			      granule);
}

/* A vCPU gets a granule an exit, with its zeros, and no other. */
static void vcpu_fills_whole_granules(void **state)
{
	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		uint32_t granule = sizes[s];
		struct pager_stats stats;
		struct fixture f;

		open_ragged(&f,
			    (struct pager_config){ .mode = PAGER_USERFAULT,
						   .run_pages = 1 },
			    NULL, granule);
		for (uint64_t page = 0; page < PAGES; page++)
			assert_int_equal(test_may_pass(&f.memory, page),
					 !granule_holds(page, granule));
		assert_page(test_vcpu_access(&f.memory, f.pager, 0, 40), 40);
		for (uint64_t page = 32; page < 64; page++)
			assert_int_equal(test_is_absent(f.pager, page),
					 page / granule != 40 / granule);
		for (uint64_t page = 0; page < PAGES; page++)
			assert_page(test_vcpu_access(&f.memory, f.pager, 0,
						     page),
				    page);
		pager_stats(f.pager, &stats);
		assert_int_equal(stats.source_pages, widened(granule));
		assert_int_equal(stats.absent_pages, 0);
		assert_int_equal(stats.faults[PAGER_CAUSE_VCPU],
				 widened(granule) / granule);
		assert_int_equal(test_source_most(f.source), 1);
		fixture_close(&f);
	}
}

/* The bitmap has one bit a granule, and none beyond the region. */
static void bitmap_counts_granules(void **state)
{
	struct fixture f;
	unsigned long word;

	(void)state;
	open_ragged(&f, (struct pager_config){ .mode = PAGER_USERFAULT }, NULL,
		    16);
	/* 16 granules a region, of which 32..47 has its pages in number 2. */
	word = f.memory.regions[0].userfault_bitmap[0];
	for (unsigned int bit = 0; bit < 64; bit++)
		assert_int_equal(word >> bit & 1,
				 bit < 16 && granule_holds(bit * 16, 16));
	fixture_close(&f);
}

/* Neighbours come with a granule as they come with a page. */
static void walk_widens_by_granules(void **state)
{
	struct fixture f;
	struct pager_stats stats;

	(void)state;
	fixture_open_granules(&f,
			      (struct pager_config){ .mode = PAGER_USERFAULT },
			      NULL, test_source_whole(PAGES), PAGES, 16);
	test_vcpu_access(&f.memory, f.pager, 0, 3);
	test_vcpu_access(&f.memory, f.pager, 0, 20);
	test_vcpu_access(&f.memory, f.pager, 0, 40);
	pager_stats(f.pager, &stats);
	assert_int_equal(stats.faults[PAGER_CAUSE_VCPU], 3);
	assert_int_equal(stats.pages[PAGER_CAUSE_VCPU], 16 + 16 + 32);
	fixture_close(&f);
}

/* Waits for the last page, which the kernel shows before it is counted. */
static void wait_for_last_page(const struct pager *pager)
{
	struct pager_stats stats;

	for (int i = 0; i < 30000; i++) {
		pager_stats(pager, &stats);
		if (!stats.absent_pages)
			return;
		usleep(1000);
	}
	fail_msg("pages stay absent");
}

/* The kernel stops, and is given, whole granules. */
static void uffd_fills_whole_granules(void **state)
{
	(void)state;
	if (!test_has_uffd())
		skip();
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		struct pager_stats stats;
		struct fixture f;

		open_ragged(&f,
			    (struct pager_config){ .mode = PAGER_UFFD,
						   .run_pages = 1 },
			    NULL, sizes[s]);
		/* Not through the accessor: as KVM does. */
		for (uint64_t n = 0; n < PAGES; n++) {
			uint64_t page = n * 37 % PAGES;
			const struct memory_region *region =
				memory_region_of_page(&f.memory, page);

			assert_page(region->hva + (page * PAGE_BYTES -
						   region->offset_bytes),
				    page);
		}
		wait_for_last_page(f.pager);
		pager_stats(f.pager, &stats);
		assert_int_equal(stats.faults[PAGER_CAUSE_UFFD],
				 widened(sizes[s]) / sizes[s]);
		assert_int_equal(test_source_most(f.source), 1);
		fixture_close(&f);
	}
}

/* The accessor and a snapshot have pages filled that share granules. */
static void accessor_and_snapshot_fill(void **state)
{
	struct fixture f;
	uint8_t *data = malloc(64 * PAGE_BYTES);

	(void)state;
	assert_non_null(data);
	open_ragged(&f, (struct pager_config){ .mode = PAGER_USERFAULT }, NULL,
		    16);
	assert_int_equal(pager_start(f.pager), 0);
	assert_int_equal(memory_read(&f.memory, test_gpa(&f.memory, 90), data,
				     64 * PAGE_BYTES),
			 0);
	for (uint64_t n = 0; n < 64; n++)
		assert_page(data + n * PAGE_BYTES, 90 + n);
	assert_int_equal(pager_try_fill(f.pager, 0, PAGES), 0);
	for (uint64_t page = 0; page < PAGES; page++)
		assert_false(test_is_absent(f.pager, page));
	assert_int_equal(test_source_most(f.source), 1);
	fixture_close(&f);
	free(data);
}

/* An unavailable page makes its granule unavailable, and no other. */
static void error_keeps_granule_absent(void **state)
{
	struct fixture f;

	(void)state;
	open_ragged(&f,
		    (struct pager_config){ .mode = PAGER_USERFAULT,
					   .run_pages = 16,
					   .deadline_ns = 20000000 },
		    "always@35", 16);
	assert_null(test_vcpu_access(&f.memory, f.pager, 0, 32));
	assert_int_equal(atomic_load(&f.failures), 1);
	for (uint64_t page = 32; page < 48; page++)
		assert_true(test_is_absent(f.pager, page));
	assert_page(test_vcpu_access(&f.memory, f.pager, 0, 48), 48);
	fixture_close(&f);
}

/* The working set has the pages of a granule that the source has. */
static void records_pages_of_the_source(void **state)
{
	static const uint64_t want[] = { 1, 3, 4, 15, 95, 300, 302 };
	const uint64_t *pages;
	struct fixture f;

	(void)state;
	open_ragged(&f,
		    (struct pager_config){ .mode = PAGER_USERFAULT,
					   .run_pages = 16,
					   .record = true },
		    NULL, 16);
	test_vcpu_access(&f.memory, f.pager, 0, 8);
	test_vcpu_access(&f.memory, f.pager, 0, 80);
	test_vcpu_access(&f.memory, f.pager, 0, 289);
	pager_stop(f.pager);
	assert_int_equal(pager_recorded(f.pager, &pages), ARRAY_SIZE(want));
	assert_memory_equal(pages, want, sizeof(want));
	fixture_close(&f);
}

/* A piece that begins within a granule is no larger than what it is read to. */
static void workingset_of_granules(void **state)
{
	static const uint32_t granules[] = { 4, 16 };
	uint64_t pages[1200];

	(void)state;
	if (!test_has_uffd())
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		pages[i] = 5 + i;
	for (size_t g = 0; g < ARRAY_SIZE(granules); g++) {
		struct pager_config config = {
			.mode = PAGER_UFFD,
			.workingset = pages,
			.workingset_count = ARRAY_SIZE(pages),
		};
		struct pager_stats stats = { 0 };
		struct fixture f;

		fixture_open_granules(&f, config, NULL, test_source_whole(4096),
				      4096, granules[g]);
		assert_int_equal(pager_start(f.pager), 0);
		while (stats.pages[PAGER_CAUSE_BACKGROUND] <
		       ARRAY_SIZE(pages)) {
			usleep(1000);
			pager_stats(f.pager, &stats);
		}
		for (uint64_t page = 0; page < 1205; page++)
			assert_true(
				!test_source_has(page) ||
				test_page_is(memory_page_hva(&f.memory, page),
					     page));
		fixture_close(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vcpu_fills_whole_granules),
		cmocka_unit_test(bitmap_counts_granules),
		cmocka_unit_test(walk_widens_by_granules),
		cmocka_unit_test(uffd_fills_whole_granules),
		cmocka_unit_test(accessor_and_snapshot_fill),
		cmocka_unit_test(error_keeps_granule_absent),
		cmocka_unit_test(records_pages_of_the_source),
		cmocka_unit_test(workingset_of_granules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
