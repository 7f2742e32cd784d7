/* SPDX-License-Identifier: BSD-2-Clause */
/* See lib.h.  Any thread after set-up. */
#include "tests/unit/pager/lib.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/mem/uffd_probe.h"
#include "vmm/pager/private.h"

#define WORDS (PAGE_BYTES / sizeof(uint64_t))

/* Makes the memory with the host's granules. */
void test_memory(struct memory *memory, uint64_t pages)
{
	test_memory_granules(memory, pages, 0);
}

/* Makes the memory. */
void test_memory_granules(struct memory *memory, uint64_t pages,
			  uint32_t granule_pages)
{
	test_memory_from(memory, pages, granule_pages, -1, NULL);
}

/* Makes the memory. */
void test_memory_from(struct memory *memory, uint64_t pages,
		      uint32_t granule_pages, int fd,
		      const struct page_source *source)
{
	uint64_t first = (pages / 2) * PAGE_BYTES;
	const struct memory_range ranges[] = {
		{ TEST_BASE, first },
		{ TEST_BASE + first + MIB, pages * PAGE_BYTES - first },
	};
	struct memory_config config = { .backing = MEMORY_ANON,
					.ranges = ranges,
					.range_count = 2,
					.granule_pages = granule_pages };

	/* One mapping; the file has zeros where the source has nothing. */
	const struct memory_part whole = { 0, pages, fd };

	if (source) {
		config.backing = MEMORY_FILE;
		config.parts = &whole;
		config.part_count = 1;
	}
	if (memory_init(memory, &config, NULL) < 0)
		abort();
}

/* A number that tells a word of a page from all others. */
uint64_t test_word(uint64_t page, unsigned int word)
{
	uint64_t x = (page + 1) * UINT64_C(0x9e3779b97f4a7c15) + word;

	return x ^ (x >> 29);
}

/* Compares a page. */
bool test_page_is(const void *data, uint64_t page)
{
	const uint64_t *words = data;

	for (unsigned int i = 0; i < WORDS; i++) {
		uint64_t want = test_source_has(page) ? test_word(page, i) : 0;

		if (words[i] == want)
			continue;
		fprintf(stderr, "page %llu word %u: %llx, not %llx\n",
			(unsigned long long)page, i,
			(unsigned long long)words[i], (unsigned long long)want);
		return false;
	}
	return true;
}

struct test_source {
	struct page_source source;
	uint64_t pages;
	_Atomic uint64_t reads;
	_Atomic uint32_t *counts; /* of reads of each page */
};

/* Whether the source holds the page. */
bool test_source_has(uint64_t page)
{
	return page / 16 % 4 != 3;
}

/* Reads pages, and counts. */
static int source_read(struct page_source *source, uint64_t page,
		       uint32_t count, uint8_t *to)
{
	struct test_source *ts =
		container_of(source, struct test_source, source);
	uint64_t *words = (uint64_t *)(void *)to;

	atomic_fetch_add(&ts->reads, 1);
	for (uint32_t n = 0; n < count; n++) {
		if (!page_source_find(source, page + n))
			abort();
		atomic_fetch_add(&ts->counts[page + n], 1);
		for (unsigned int i = 0; i < WORDS; i++)
			*words++ = test_word(page + n, i);
	}
	return 0;
}

/* Checks pages of a mapping, and counts them as read. */
static int source_check(struct page_source *source, uint64_t page,
			uint32_t count, const uint8_t *at)
{
	struct test_source *ts =
		container_of(source, struct test_source, source);

	atomic_fetch_add(&ts->reads, 1);
	for (uint32_t n = 0; n < count; n++) {
		atomic_fetch_add(&ts->counts[page + n], 1);
		if (!test_page_is(at + n * PAGE_BYTES, page + n))
			return -EBADMSG;
	}
	return 0;
}

static const char *source_describe(struct page_source *source, uint64_t page)
{
	(void)source;
	(void)page;
	return "test pages";
}

/* Frees it. */
static void source_destroy(struct page_source *source)
{
	struct test_source *ts =
		container_of(source, struct test_source, source);

	free((void *)ts->counts);
	free(source->runs);
	free(ts);
}

static const struct page_source_ops source_ops = {
	.name = "test",
	.read = source_read,
	.check = source_check,
	.describe = source_describe,
	.destroy = source_destroy,
};

/* Makes the source. */
struct page_source *test_source(uint64_t pages)
{
	struct test_source *ts = calloc(1, sizeof(*ts));
	struct page_source *source = &ts->source;

	ts->pages = pages;
	ts->counts = calloc(pages, sizeof(ts->counts[0]));
	source->ops = &source_ops;
	source->runs = calloc(pages / 64 + 1, sizeof(source->runs[0]));
	for (uint64_t first = 0; first < pages; first += 64)
		source->runs[source->run_count++] =
			(struct page_run){ first, min_u64(48, pages - first) };
	return source;
}

/* The same without holes. */
struct page_source *test_source_whole(uint64_t pages)
{
	struct page_source *source = test_source(pages);

	source->runs[0] = (struct page_run){ 0, pages };
	source->run_count = 1;
	return source;
}

/* A file of all its pages. */
int test_source_file(uint64_t pages)
{
	int fd = memfd_create("pages", MFD_CLOEXEC);
	uint64_t words[WORDS];

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)(pages * PAGE_BYTES)), 0);
	for (uint64_t page = 0; page < pages; page++) {
		if (!test_source_has(page))
			continue;
		for (unsigned int i = 0; i < WORDS; i++)
			words[i] = test_word(page, i);
		assert_int_equal(pwrite(fd, words, sizeof(words),
					(off_t)(page * PAGE_BYTES)),
				 sizeof(words));
	}
	return fd;
}

/* How often it was read. */
uint64_t test_source_reads(const struct page_source *source)
{
	return atomic_load(
		&container_of(source, struct test_source, source)->reads);
}

/* The most reads of one page. */
unsigned int test_source_most(const struct page_source *source)
{
	const struct test_source *ts =
		container_of(source, struct test_source, source);
	unsigned int most = 0;

	for (uint64_t i = 0; i < ts->pages; i++) {
		unsigned int n = atomic_load(&ts->counts[i]);

		most = n > most ? n : most;
	}
	return most;
}

bool test_is_absent(const struct pager *pager, uint64_t page)
{
	return !pages_is_present(&pager->pages, page);
}

/* The guest address of a page. */
gpa_t test_gpa(const struct memory *memory, uint64_t page)
{
	const struct memory_region *region =
		memory_region_of_page(memory, page);

	return region->gpa + (page * PAGE_BYTES - region->offset_bytes);
}

/* Whether KVM would let a vCPU pass. */
bool test_may_pass(const struct memory *memory, uint64_t page)
{
	const struct memory_region *region =
		memory_region_of_page(memory, page);
	uint64_t bit = (page - region->offset_bytes / PAGE_BYTES) /
		       memory->granule_pages;
	_Atomic unsigned long *word;

	if (!region->userfault_bitmap)
		return true;
	word = (_Atomic unsigned long *)&region->userfault_bitmap[bit / 64];
	return !(atomic_load_explicit(word, memory_order_acquire) >>
			 (bit % 64) &
		 1);
}

/* A vCPU's access. */
const void *test_vcpu_access(struct memory *memory, struct pager *pager,
			     unsigned int vcpu, uint64_t page)
{
	const struct memory_region *region =
		memory_region_of_page(memory, page);

	while (!test_may_pass(memory, page)) {
		uint64_t first = align_down(page, memory->granule_pages);
		gpa_t gpa = test_gpa(memory, first);
		struct memory_range filled;
		int r = pager_vcpu_fault(pager, vcpu, gpa, &filled);

		if (r < 0 && r != -EINTR)
			return NULL;
		assert_true(!filled.size_bytes ||
			    (r == 0 && gpa - filled.gpa < filled.size_bytes));
	}
	return region->hva + (page * PAGE_BYTES - region->offset_bytes);
}

/* Whether userfaultfd(2) works on this host. */
bool test_has_uffd(void)
{
	int fd = uffd_open(0, NULL);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void on_failed(void *ctx, enum pager_on_error on_error)
{
	struct fixture *f = ctx;

	(void)on_error;
	atomic_fetch_add(&f->failures, 1);
}

/* Makes a fixture with the host's granules. */
void fixture_open(struct fixture *f, struct pager_config config,
		  const char *inject, struct page_source *source,
		  uint64_t pages)
{
	fixture_open_granules(f, config, inject, source, pages, 0);
}

/* Makes a fixture. */
void fixture_open_granules(struct fixture *f, struct pager_config config,
			   const char *inject, struct page_source *source,
			   uint64_t pages, uint32_t granule_pages)
{
	*f = (struct fixture){ .source = source };
	test_memory_granules(&f->memory, pages, granule_pages);
	assert_int_equal(pager_prepare(&f->memory, config.mode), 0);
	if (inject)
		assert_int_equal(source_inject_create(&source, source, inject),
				 0);
	config.memory = &f->memory;
	config.source = source;
	config.failed = on_failed;
	config.ctx = f;
	config.trace_fd = -1;
	assert_int_equal(pager_create(&f->pager, &config), 0);
}

/* Frees it. */
void fixture_close(struct fixture *f)
{
	pager_destroy(f->pager);
	pager_unprepare(&f->memory);
	memory_finish(&f->memory);
}
