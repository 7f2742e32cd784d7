/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guards of guest_memfd regions, with a memfd in its place and a thread
 * that accesses memory as KVM itself does: through the slot's address.
 */
#include <pthread.h>
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

#include "tests/unit/pager/lib.h"

#define PAGES 1024
/* Mappings that are left for the test, fewer than it has single pages. */
#define MAPPINGS_LEFT 64
#define MAPPINGS_MAX  300000

/* Gives each region of anonymous memory a file. */
static void back_by_files(struct memory *memory)
{
	for (unsigned int i = 0; i < memory->region_count; i++) {
		struct memory_region *region = &memory->regions[i];
		int fd = memfd_create("guest", MFD_CLOEXEC);

		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, (off_t)region->size_bytes), 0);
		assert_ptr_not_equal(mmap(region->hva, region->size_bytes,
					  PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_FIXED, fd, 0),
				     MAP_FAILED);
		region->guest_memfd = fd;
	}
}

/* A pager with guards over files, of granules of so many pages. */
static void open_guarded(struct fixture *f, struct pager_config config,
			 uint32_t granule_pages)
{
	*f = (struct fixture){ .source = test_source_whole(PAGES) };
	test_memory_granules(&f->memory, PAGES, granule_pages);
	back_by_files(&f->memory);
	assert_int_equal(pager_prepare(&f->memory, PAGER_USERFAULT), 0);
	/* By this mode userfaultfd is there without KVM. */
	config.mode = PAGER_UFFD;
	config.memory = &f->memory;
	config.source = f->source;
	config.trace_fd = -1;
	assert_int_equal(pager_create(&f->pager, &config), 0);
}

/* A page as KVM sees it. */
static const uint64_t *slot_page(const struct fixture *f, uint64_t page)
{
	const struct memory_region *region =
		memory_region_of_page(&f->memory, page);

	return (const uint64_t *)(const void *)(region->slot_hva +
						(page * PAGE_BYTES -
						 region->offset_bytes));
}

/*
 * Its first word.  The kernel orders this after the mapping that the pager made
 * there, which the thread sanitizer cannot see.
 */
static uint64_t __attribute__((no_sanitize("thread")))
slot_word(const struct fixture *f, uint64_t page)
{
	return *slot_page(f, page);
}

/* KVM's accesses: every @step-th page, once @go is set. */
struct kvm {
	struct fixture *f;
	uint64_t step;
	atomic_bool go, done;
	atomic_uint wrong;
};

static void *kvm_main(void *arg)
{
	struct kvm *kvm = arg;

	while (!atomic_load(&kvm->go))
		usleep(1000);
	for (uint64_t page = 0; page < PAGES; page += kvm->step)
		if (slot_word(kvm->f, page) != test_word(page, 0))
			atomic_fetch_add(&kvm->wrong, 1);
	atomic_store(&kvm->done, true);
	return NULL;
}

/* Has KVM make its accesses; thirty seconds at most. */
static void access_all(struct kvm *kvm, pthread_t thread)
{
	atomic_store(&kvm->go, true);
	for (int i = 0; i < 30000 && !atomic_load(&kvm->done); i++)
		usleep(1000);
	assert_true(atomic_load(&kvm->done));
	pthread_join(thread, NULL);
	assert_int_equal(atomic_load(&kvm->wrong), 0);
}

/* The mappings of the slots. */
static unsigned int count_mappings(const struct fixture *f)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long from, to;
	unsigned int count = 0;
	char line[400];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx", &from, &to) != 2)
			continue;
		for (unsigned int i = 0; i < f->memory.region_count; i++) {
			const struct memory_region *region =
				&f->memory.regions[i];

			count += from - (uintptr_t)region->slot_hva <
				 region->size_bytes;
		}
	}
	fclose(maps);
	return count;
}

/* What is filled around a page is opened with it, by one event. */
static void guard_is_opened_in_blocks(void **state)
{
	struct fixture f;
	struct kvm kvm = { .f = &f, .step = 1 };
	struct pager_stats stats;
	pthread_t thread;

	(void)state;
	if (!test_has_uffd())
		skip();
	open_guarded(&f, (struct pager_config){ .run_pages = 16 }, 0);
	pthread_create(&thread, NULL, kvm_main, &kvm);
	access_all(&kvm, thread);
	pager_stats(f.pager, &stats);
	assert_int_equal(stats.faults[PAGER_CAUSE_UFFD], PAGES / 16);
	assert_int_equal(stats.already[PAGER_CAUSE_UFFD], 0);
	/* All of it open: one mapping in each region. */
	assert_true(count_mappings(&f) <= 2);
	fixture_close(&f);
}

/* The most mappings that a process may have; 0: not known. */
static unsigned long mappings_max(void)
{
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
	unsigned long max = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%lu", &max) != 1)
		max = 0;
	fclose(file);
	return max;
}

/* Takes all mappings but a few; what munmap() is to undo. */
static uint8_t *take_mappings(size_t *bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), at = 0;
	uint8_t *p;

	*bytes = 2 * page * (mappings_max() + 1);
	p = mmap(NULL, *bytes, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	while (at < *bytes && mprotect(p + at, page, PROT_READ) == 0)
		at += 2 * page;
	/* Each that joins its neighbours again sets two free. */
	for (unsigned int i = 0; i < MAPPINGS_LEFT / 2; i++) {
		at -= 2 * page;
		assert_int_equal(mprotect(p + at, page, PROT_NONE), 0);
	}
	return p;
}

/*
 * With no mapping left, guards are opened in larger pieces.  Each piece takes two,
 * so an odd number and an even one end differently.
 */
static void guard_survives_the_limit_of_mappings(void **state)
{
	(void)state;
	if (!test_has_uffd() || !mappings_max() ||
	    mappings_max() > MAPPINGS_MAX)
		skip();
	for (unsigned int odd = 0; odd < 2; odd++) {
		struct fixture f;
		struct kvm kvm = { .f = &f, .step = 4 };
		pthread_t thread;
		uint8_t *taken;
		size_t bytes;
		void *one = MAP_FAILED;

		open_guarded(&f, (struct pager_config){ .run_pages = 1 }, 0);
		pthread_create(&thread, NULL, kvm_main, &kvm);
		taken = take_mappings(&bytes);
		if (odd)
			one = mmap(NULL, PAGE_BYTES, PROT_NONE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		access_all(&kvm, thread);
		if (odd)
			munmap(one, PAGE_BYTES);
		munmap(taken, bytes);
		fixture_close(&f);
	}
}

/* On a host with pages of 64 KiB nothing smaller is opened. */
static void guard_is_opened_by_granules(void **state)
{
	struct fixture f;
	struct kvm kvm = { .f = &f, .step = 64 };
	struct pager_stats stats;
	pthread_t thread;

	(void)state;
	if (!test_has_uffd())
		skip();
	open_guarded(&f, (struct pager_config){ .run_pages = 1 }, 16);
	pthread_create(&thread, NULL, kvm_main, &kvm);
	access_all(&kvm, thread);
	pager_stats(f.pager, &stats);
	assert_int_equal(stats.faults[PAGER_CAUSE_UFFD], PAGES / 64);
	assert_int_equal(stats.pages[PAGER_CAUSE_UFFD], PAGES / 4);
	/* Those that were opened are the memory, as far as the granule goes. */
	for (uint64_t page = 0; page < PAGES; page += 64)
		for (uint64_t n = 0; n < 16; n++)
			assert_int_equal(slot_word(&f, page + n),
					 test_word(page + n, 0));
	pager_stats(f.pager, &stats);
	assert_int_equal(stats.already[PAGER_CAUSE_UFFD], 0);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guard_is_opened_in_blocks),
		cmocka_unit_test(guard_is_opened_by_granules),
		cmocka_unit_test(guard_survives_the_limit_of_mappings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
