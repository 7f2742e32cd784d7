/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is held is saved as it was when that began, however it is written to
 * meanwhile, and every writer goes on.
 */
#include <errno.h>
#include <limits.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
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
#include "tests/unit/snap/fixture.h"
#include "vmm/base/zeros.h"
#include "vmm/mem/track.h"
#include "vmm/snap/file.h"
#include "vmm/snap/save.h"
#include "vmm/vm/held.h"
#include "vmm/vm/private.h"
#include "vmm/vm/snapshot.h"

#define HIGH	   UINT64_C(0x100000000)
#define LOW_BYTES  UINT64_C(0x300000)
#define HIGH_BYTES UINT64_C(0x1500000) /* more than there is room for copies */
#define ALL_PAGES  ((LOW_BYTES + HIGH_BYTES) / PAGE_BYTES)
#define WRITERS	   3
#define HANGS_S	   120

/* How often protection can be lifted until that fails. */
static atomic_uint lifts_left = UINT_MAX;

int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	const struct uffdio_writeprotect *change = arg;

	if (request == UFFDIO_WRITEPROTECT && !change->mode &&
	    lifts_left != UINT_MAX && (!lifts_left || !lifts_left--)) {
		errno = ENOMEM;
		return -1;
	}
	return __real_ioctl(fd, request, arg);
}

/* A VM that is nothing but memory, and a save of it. */
struct bed {
	struct vm vm;
	struct snap_save *save;
	struct held held;
	uint64_t *bits;
	char *path;
	pthread_t writers[WRITERS];
	atomic_uint written;
};

/* The first word of a page before it is held, and the one that writers put there. */
static uint64_t word_before(uint64_t page)
{
	return page * 0x9e3779b97f4a7c15 + 1;
}

static uint64_t word_after(uint64_t page)
{
	return ~word_before(page);
}

/* Some pages are not held, in every block and alone. */
static bool is_held(uint64_t page)
{
	return page % 7 != 3 && page / 64 % 5 != 2;
}

static _Atomic uint64_t *word_of(const struct bed *bed, uint64_t page,
				 unsigned int n)
{
	return (_Atomic uint64_t *)(void *)
		       memory_page_hva(&bed->vm.machine.memory, page) +
	       n;
}

static void open_bed(struct bed *bed, const char *dir, uint32_t granule)
{
	const struct memory_range memory[] = { { 0, LOW_BYTES },
					       { HIGH, HIGH_BYTES } };
	const struct snap_range saved[] = { { 0, LOW_BYTES, 0 },
					    { HIGH, HIGH_BYTES, LOW_BYTES } };
	const struct memory_config config = { .backing = MEMORY_ANON,
					      .ranges = memory,
					      .range_count = 2,
					      .granule_pages = granule };
	struct snap_save_config to = { .arch = ARCH,
				       .ranges = saved,
				       .range_count = 2 };

	bed->path = path_in(dir, "snap");
	to.path = bed->path;
	assert_int_equal(memory_init(&bed->vm.machine.memory, &config, NULL),
			 0);
	atomic_store(&bed->vm.phase, VM_PHASE_RUN);
	bed->bits = zeros_map(ALL_PAGES / 8 + 8);
	assert_non_null(bed->bits);
	for (uint64_t page = 0; page < ALL_PAGES; page++) {
		*word_of(bed, page, 0) = word_before(page);
		*word_of(bed, page, 511) = word_before(page);
		if (is_held(page))
			bed->bits[page / 64] |= UINT64_C(1) << page % 64;
	}
	assert_int_equal(snap_save_begin(&bed->save, &to), 0);
	assert_int_equal(held_prepare(&bed->held, &bed->vm, bed->save), 0);
	assert_int_equal(held_protect(&bed->held, bed->bits), 0);
}

static void close_bed(struct bed *bed)
{
	zeros_unmap(bed->bits, ALL_PAGES / 8 + 8);
	memory_finish(&bed->vm.machine.memory);
	free(bed->path);
}

/* Writes to each page, in an order of its own. */
static void *write_all(void *arg)
{
	struct bed *bed = arg;
	uint64_t at = (uint64_t)rand() % ALL_PAGES;

	for (uint64_t i = 0; i < ALL_PAGES; i++) {
		/* A prime, so each page once. */
		at = (at + 2647) % ALL_PAGES;
		*word_of(bed, at, 511) = word_after(at);
		*word_of(bed, at, 0) = word_after(at);
		atomic_fetch_add(&bed->written, 1);
	}
	return NULL;
}

static void start_writers(struct bed *bed)
{
	for (unsigned int i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&bed->writers[i], NULL,
						write_all, bed),
				 0);
}

static void join_writers(struct bed *bed)
{
	for (unsigned int i = 0; i < WRITERS; i++)
		pthread_join(bed->writers[i], NULL);
	for (uint64_t page = 0; page < ALL_PAGES; page++) {
		assert_int_equal(*word_of(bed, page, 0), word_after(page));
		assert_int_equal(*word_of(bed, page, 511), word_after(page));
	}
}

/* The snapshot has the held pages as they were, and no others. */
static void check_saved(const struct bed *bed, uint32_t granule)
{
	uint64_t words[PAGE_BYTES / 8];
	struct snap_file f;

	assert_int_equal(snap_open(&f, bed->path, ARCH), 0);
	for (uint64_t page = 0; page < ALL_PAGES; page++) {
		bool saved = is_held(page);

		for (uint64_t i = 0; i < granule; i++)
			saved = saved || is_held(page / granule * granule + i);
		assert_int_equal(!!run_of(&f, page), saved);
		if (!saved)
			continue;
		assert_int_equal(snap_read_pages(&f, page, 1, words), 0);
		assert_int_equal(words[0], word_before(page));
		assert_int_equal(words[511], word_before(page));
	}
	snap_close(&f);
}

/* Writers come first, so that there is no room for more copies when saving begins. */
static void holds(const char *dir, uint32_t granule)
{
	const struct vm_save_options options = { 0 };
	struct bed bed = { .written = 0 };
	unsigned int before;

	open_bed(&bed, dir, granule);
	start_writers(&bed);
	/* Until all wait. */
	do {
		before = atomic_load(&bed.written);
		usleep(100000);
	} while (before < 100 || atomic_load(&bed.written) != before);
	assert_true(atomic_load(&bed.written) < WRITERS * ALL_PAGES);
	assert_int_equal(held_save(&bed.held, &options), 0);
	held_end(&bed.held);
	join_writers(&bed);
	assert_true(bed.held.waits >= 100 / granule);
	assert_int_equal(snap_save_commit(bed.save), 0);
	check_saved(&bed, granule);
	close_bed(&bed);
}

static void saves_what_was_held(void **state)
{
	holds(*state, (uint32_t)(sysconf(_SC_PAGESIZE) / (long)PAGE_BYTES));
}

/* As on a host with pages of 64 KiB. */
static void saves_whole_granules(void **state)
{
	holds(*state, 16);
}

static bool cancel(void *ctx, uint64_t done, uint64_t of)
{
	unsigned int *left = ctx;

	(void)done;
	(void)of;
	return (*left)-- > 0;
}

/* Where protection cannot be lifted the save fails, and the writers go on. */
static void fails_where_it_cannot_lift(void **state)
{
	const struct vm_save_options options = { 0 };
	struct bed bed = { .written = 0 };
	struct capture capture;

	open_bed(&bed, *state, 16);
	capture_start(&capture, STDERR_FILENO);
	lifts_left = 10;
	start_writers(&bed);
	assert_int_equal(held_save(&bed.held, &options), -ENOMEM);
	lifts_left = UINT_MAX;
	held_end(&bed.held);
	assert_string_equal(capture_end(&capture),
			    "thaw: snapshot: userfaultfd: lift write "
			    "protection: Cannot allocate memory\n");
	join_writers(&bed);
	snap_save_abort(bed.save);
	close_bed(&bed);
}

/* A save that is cancelled lets all writers go on. */
static void lets_go_when_cancelled(void **state)
{
	unsigned int left = 10;
	const struct vm_progress progress = { cancel, &left };
	const struct vm_save_options options = { .progress = &progress };
	struct bed bed = { .written = 0 };

	open_bed(&bed, *state, 16);
	start_writers(&bed);
	assert_int_equal(held_save(&bed.held, &options), -ECANCELED);
	held_end(&bed.held);
	join_writers(&bed);
	held_end(&bed.held);
	snap_save_abort(bed.save);
	assert_int_equal(count_entries(*state), 0);
	close_bed(&bed);
}

static int set_up(void **state)
{
	*state = fixture_dir();
	return 0;
}

static int tear_down(void **state)
{
	fixture_clean(*state);
	return 0;
}

/* Whether this host can hold pages. */
static int try_to_hold(void)
{
	const struct memory_range range = { 0, LOW_BYTES };
	const struct memory_config config = { .backing = MEMORY_ANON,
					      .ranges = &range,
					      .range_count = 1 };
	struct vm vm = { .paused = true };
	struct held held;
	int r;

	assert_int_equal(memory_init(&vm.machine.memory, &config, NULL), 0);
	r = held_prepare(&held, &vm, NULL);
	held_end(&held);
	memory_finish(&vm.machine.memory);
	return r;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(saves_what_was_held, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(saves_whole_granules, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(fails_where_it_cannot_lift,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(lets_go_when_cancelled, set_up,
						tear_down),
	};
	int r;

	alarm(HANGS_S);
	r = try_to_hold();
	if (r < 0) {
		printf("skipped: userfaultfd: %s\n", strerror(-r));
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
