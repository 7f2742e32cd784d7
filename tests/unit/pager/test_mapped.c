/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * userfault over the files of a snapshot, which are mapped: what a vCPU gets was
 * verified in the mapping, and nothing is copied.  The vCPUs are played.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/pager/lib.h"
#include "tests/unit/snap/fixture.h"
#include "vmm/snap/layout.h"
#include "vmm/snap/save.h"

#define SEED 7

/* Pages of a chain: present in the first snapshot, but for the last. */
#define CHANGED 10
#define ZEROED	20
#define NEW	70

/* A snapshot, the memory over it, and its pager. */
struct mapped {
	char *dir, *path;
	struct snap_file file;
	struct snap_layout layout;
	struct memory memory;
	struct pager *pager;
	uint8_t *want; /* the right contents */
	int fd; /* of its memory, for changing it */
};

/* Lays out the memory; its parts, to be freed. */
static const struct memory_part *lay_out(struct mapped *m, uint32_t granule,
					 size_t *count)
{
	const char *why = NULL;
	struct memory_part *parts;

	assert_int_equal(snap_layout_create(&m->layout, &m->file, granule,
					    &why),
			 0);
	*count = m->layout.part_count;
	parts = calloc(*count, sizeof(*parts));
	assert_non_null(parts);
	for (size_t i = 0; i < *count; i++)
		parts[i] = (struct memory_part){
			m->layout.parts[i].first, m->layout.parts[i].count,
			m->layout.parts[i].file->memory_fd
		};
	return parts;
}

/* Maps snapshot @name of the directory. */
static void map_snapshot(struct mapped *m, const char *name, uint32_t granule)
{
	const struct memory_range was[] = {
		{ ranges[0].gpa, ranges[0].size_bytes },
		{ ranges[1].gpa, ranges[1].size_bytes },
	};
	struct memory_config memory = { .backing = MEMORY_FILE,
					.ranges = was,
					.range_count = 2,
					.granule_pages = granule };
	struct pager_config config = { .mode = PAGER_USERFAULT,
				       .memory = &m->memory,
				       .run_pages = 4,
				       .deadline_ns = 20 * 1000 * 1000,
				       .trace_fd = -1 };

	m->path = path_in(m->dir, name);
	assert_int_equal(snap_open(&m->file, m->path, NULL), 0);
	memory.parts = lay_out(m, granule, &memory.part_count);
	assert_int_equal(memory_init(&m->memory, &memory, NULL), 0);
	free((void *)memory.parts);
	assert_int_equal(pager_prepare(&m->memory, config.mode), 0);
	assert_int_equal(source_snapshot_create(&config.source, &m->file,
						&m->layout),
			 0);
	assert_int_equal(pager_create(&m->pager, &config), 0);
}

/* Saves the snapshot "s"; m->fd is its memory. */
static void save_one(struct mapped *m)
{
	char *path, *memory;

	m->dir = fixture_dir();
	m->want = guest_memory(SEED);
	path = path_in(m->dir, "s");
	memory = path_in(path, SNAP_MEMORY_NAME);
	assert_int_equal(save_guest(path, SEED), 0);
	m->fd = open(memory, O_RDWR | O_CLOEXEC);
	assert_true(m->fd >= 0);
	free(memory);
	free(path);
}

static void open_mapped(struct mapped *m, uint32_t granule)
{
	save_one(m);
	map_snapshot(m, "s", granule);
}

/* Whether the page is to be zero. */
static bool is_zero(const struct mapped *m, uint64_t page)
{
	static const uint8_t zeros[PAGE_BYTES];

	return !memcmp(m->want + page * PAGE_BYTES, zeros, PAGE_BYTES);
}

/* Saves a page, filled with @byte, as snapshot @name on @base. */
static void save_change(struct mapped *m, const char *name, const char *base,
			uint64_t page, int byte)
{
	char *path = path_in(m->dir, name), *base_path = path_in(m->dir, base);
	struct snap_save_config config = { .path = path,
					   .arch = ARCH,
					   .ranges = ranges,
					   .range_count = 2,
					   .base_name = base };
	uint8_t *data = m->want + page * PAGE_BYTES;
	struct snap_file file;
	struct snap_save *save;

	memset(data, byte, PAGE_BYTES);
	assert_int_equal(snap_open(&file, base_path, ARCH), 0);
	config.base = &file;
	assert_int_equal(snap_save_begin(&save, &config), 0);
	assert_int_equal(snap_save_pages(save, page, 1, data), 0);
	assert_int_equal(snap_save_commit(save), 0);
	free(base_path);
	free(path);
}

/*
 * Four snapshots: one page changes in two of them, one becomes zero over the
 * base's contents, one is new where the base has a hole.
 */
static void open_chain(struct mapped *m)
{
	save_one(m);
	assert_false(is_zero(m, CHANGED));
	assert_false(is_zero(m, ZEROED));
	assert_true(is_zero(m, NEW));
	save_change(m, "t", "s", CHANGED, 0xa1);
	save_change(m, "u", "t", ZEROED, 0);
	save_change(m, "v", "u", CHANGED, 0xa2);
	save_change(m, "w", "v", NEW, 0xa3);
	map_snapshot(m, "w", 1);
}

static void close_mapped(struct mapped *m)
{
	pager_destroy(m->pager);
	pager_unprepare(&m->memory);
	memory_finish(&m->memory);
	snap_layout_finish(&m->layout);
	snap_close(&m->file);
	close(m->fd);
	free(m->want);
	free(m->path);
	fixture_clean(m->dir);
}

/* The page as a vCPU gets it; NULL: it was stopped. */
static const void *access_page(struct mapped *m, uint64_t page)
{
	return test_vcpu_access(&m->memory, m->pager, 0, page);
}

/* The address of a page, with no gate before it: as KVM's own accesses go. */
static uint8_t *kvm_page(struct mapped *m, uint64_t page)
{
	return memory_page_hva(&m->memory, page);
}

/* Overwrites a byte of a page in the file. */
static void flip(struct mapped *m, uint64_t page)
{
	uint8_t byte = m->want[page * PAGE_BYTES + 100] ^ 1;

	assert_int_equal(pwrite(m->fd, &byte, 1,
				(off_t)(page * PAGE_BYTES + 100)),
			 1);
}

/* A page within a mapping that the snapshot does not hold. */
static uint64_t gap_page(const struct mapped *m)
{
	for (size_t i = 0; i < m->memory.file_run_count; i++) {
		const struct page_run *run = &m->memory.file_runs[i];

		for (uint64_t page = run->first; page < run->first + run->count;
		     page++)
			if (!run_of(&m->file, page))
				return page;
	}
	fail_msg("no gap");
	return 0;
}

/* All pages are right, gaps and what is not mapped included. */
static void pages_are_verified_in_place(void **state)
{
	static const uint32_t granules[] = { 1, 4 };

	(void)state;
	for (size_t g = 0; g < ARRAY_SIZE(granules); g++) {
		struct pager_stats stats;
		struct mapped m;

		open_mapped(&m, granules[g]);
		for (uint64_t page = 0; page < PAGES; page++)
			assert_memory_equal(access_page(&m, page),
					    m.want + page * PAGE_BYTES,
					    PAGE_BYTES);
		pager_stats(m.pager, &stats);
		assert_int_equal(stats.absent_pages, 0);
		assert_int_equal(stats.failures, 0);
		/* What the guest writes is its own. */
		kvm_page(&m, m.file.runs[0].first)[0] ^= 1;
		assert_int_equal(snap_verify(&m.file, NULL, NULL), 0);
		close_mapped(&m);
	}
}

/* Every page but those far from any other is in a mapping: few mappings. */
static void mappings_are_few(void **state)
{
	struct mapped m;

	(void)state;
	open_mapped(&m, 1);
	assert_true(m.memory.file_run_count < m.file.run_count);
	gap_page(&m);
	/* Pages 61 to 119 are zero: a gap that is not worth mapping. */
	assert_int_equal(m.memory.file_run_count, 2);
	close_mapped(&m);
}

/* A corrupt page stops the vCPU, and no other page. */
static void corrupt_page_stops(void **state)
{
	struct pager_stats stats;
	struct mapped m;
	uint64_t page;

	(void)state;
	open_mapped(&m, 1);
	page = m.file.runs[1].first;
	flip(&m, page);
	assert_null(access_page(&m, page));
	pager_stats(m.pager, &stats);
	assert_int_equal(stats.failures, 1);
	assert_non_null(access_page(&m, m.file.runs[0].first));
	close_mapped(&m);
}

/* So does a gap in which the file has anything. */
static void page_of_no_run_must_be_zero(void **state)
{
	struct mapped m;
	uint64_t page;

	(void)state;
	open_mapped(&m, 1);
	page = gap_page(&m);
	flip(&m, page);
	assert_null(access_page(&m, page));
	close_mapped(&m);
}

/* KVM writes past the gate: that is no corruption, and it stays. */
static void what_kvm_wrote_stays(void **state)
{
	struct mapped m;
	uint64_t page, gap;

	(void)state;
	open_mapped(&m, 1);
	page = m.file.runs[1].first;
	gap = gap_page(&m);
	kvm_page(&m, page)[8] ^= 0xff;
	kvm_page(&m, gap)[8] = 0xff;
	m.want[page * PAGE_BYTES + 8] ^= 0xff;
	m.want[gap * PAGE_BYTES + 8] = 0xff;
	for (uint64_t n = 0; n < PAGES; n++)
		assert_memory_equal(access_page(&m, n), m.want + n * PAGE_BYTES,
				    PAGE_BYTES);
	close_mapped(&m);
}

/* Nor does it hide that the file is corrupt there. */
static void what_kvm_wrote_hides_nothing(void **state)
{
	struct mapped m;
	uint64_t page;

	(void)state;
	open_mapped(&m, 1);
	page = m.file.runs[1].first;
	kvm_page(&m, page)[8] ^= 0xff;
	flip(&m, page);
	assert_null(access_page(&m, page));
	close_mapped(&m);
}

/* Whether the kernel populates mappings; qemu-user only says that it did. */
static bool has_populate_read(void)
{
	int fd = memfd_create("empty", MFD_CLOEXEC);
	void *at = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_PRIVATE, fd, 0);
	bool refused;

	assert_true(fd >= 0);
	assert_true(at != MAP_FAILED);
	refused = madvise(at, PAGE_BYTES, MADV_POPULATE_READ) < 0;
	munmap(at, PAGE_BYTES);
	close(fd);
	return refused;
}

/* A file that has become shorter is an error, and no signal. */
static void truncated_file_is_an_error(void **state)
{
	struct mapped m;

	(void)state;
	if (!has_populate_read()) {
		print_message("# MADV_POPULATE_READ does nothing here\n");
		skip();
	}
	open_mapped(&m, 1);
	assert_int_equal(ftruncate(m.fd, 0), 0);
	assert_null(access_page(&m, m.file.runs[0].first));
	close_mapped(&m);
}

/* All pages of a chain are right, whichever file they are mapped from. */
static void chain_is_verified_in_place(void **state)
{
	struct pager_stats stats;
	struct mapped m;

	(void)state;
	open_chain(&m);
	assert_int_equal(m.layout.file_count, 3);
	assert_null(run_of(&m.file, ZEROED));
	assert_null(snap_layout_file(&m.layout, ZEROED));
	assert_non_null(
		strstr(snap_layout_file(&m.layout, CHANGED)->path, ": base v"));
	for (uint64_t page = 0; page < PAGES; page++)
		assert_memory_equal(access_page(&m, page),
				    m.want + page * PAGE_BYTES, PAGE_BYTES);
	pager_stats(m.pager, &stats);
	assert_int_equal(stats.absent_pages, 0);
	assert_int_equal(stats.failures, 0);
	close_mapped(&m);
}

/* A page of the base is corrupt, with the base's name; one that it lost is not. */
static void corrupt_base_stops(void **state)
{
	uint64_t page = 0;
	struct mapped m;

	(void)state;
	open_chain(&m);
	while (snap_layout_file(&m.layout, page) != m.layout.files[2] ||
	       !run_of(&m.file, page))
		page++;
	flip(&m, page);
	flip(&m, CHANGED);
	flip(&m, ZEROED);
	assert_null(access_page(&m, page));
	assert_memory_equal(access_page(&m, CHANGED),
			    m.want + CHANGED * PAGE_BYTES, PAGE_BYTES);
	assert_memory_equal(access_page(&m, ZEROED),
			    m.want + ZEROED * PAGE_BYTES, PAGE_BYTES);
	close_mapped(&m);
}

/* KVM's writes to a chain's mappings are no corruption, in a gap neither. */
static void what_kvm_wrote_to_a_chain_stays(void **state)
{
	uint64_t pages[3] = { CHANGED, NEW };
	struct mapped m;

	(void)state;
	open_chain(&m);
	pages[2] = gap_page(&m);
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		kvm_page(&m, pages[i])[8] ^= 0xff;
		m.want[pages[i] * PAGE_BYTES + 8] ^= 0xff;
	}
	for (uint64_t n = 0; n < PAGES; n++)
		assert_memory_equal(access_page(&m, n), m.want + n * PAGE_BYTES,
				    PAGE_BYTES);
	close_mapped(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_are_verified_in_place),
		cmocka_unit_test(mappings_are_few),
		cmocka_unit_test(corrupt_page_stops),
		cmocka_unit_test(page_of_no_run_must_be_zero),
		cmocka_unit_test(what_kvm_wrote_stays),
		cmocka_unit_test(what_kvm_wrote_hides_nothing),
		cmocka_unit_test(truncated_file_is_an_error),
		cmocka_unit_test(chain_is_verified_in_place),
		cmocka_unit_test(corrupt_base_stops),
		cmocka_unit_test(what_kvm_wrote_to_a_chain_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
