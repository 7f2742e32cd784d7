/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snap_verify() on several threads: the lowest error is reported, in one line,
 * wherever the others are; reads and threads that fail. The linker wraps
 * pread(2) and thread_start() (meson.build).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
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

#include "fixture.h"
#include "vmm/base/bytes.h"
#include "vmm/base/thread.h"
#include "vmm/snap/save.h"

/* Enough for several threads. */
#define BIG_PAGES 8000
#define PAGE	  4096
#define LOW_PAGES 5000

/* Two ranges, so an address is not an offset. */
static const struct snap_range big[2] = {
	{ 0, (uint64_t)LOW_PAGES *PAGE, 0 },
	{ UINT64_C(0x100000000), (uint64_t)(BIG_PAGES - LOW_PAGES) * PAGE,
	  (uint64_t)LOW_PAGES *PAGE },
};

/* What the wrapped functions do; set while no thread runs. */
static struct {
	int fd; /* reads of it at or after @from fail with @err */
	uint64_t from;
	int err;
	atomic_uint interrupts; /* reads that are interrupted, and then short */
	bool no_threads;
	atomic_uint threads; /* started */
} plan;

ssize_t __real_pread(int fd, void *to, size_t len, off_t at);
ssize_t __wrap_pread(int fd, void *to, size_t len, off_t at);
int __real_thread_start(pthread_t *thread, const char *name,
			void *(*run)(void *arg), void *arg);
int __wrap_thread_start(pthread_t *thread, const char *name,
			void *(*run)(void *arg), void *arg);

ssize_t __wrap_pread(int fd, void *to, size_t len, off_t at)
{
	unsigned int left = atomic_load(&plan.interrupts);

	if (left &&
	    atomic_compare_exchange_strong(&plan.interrupts, &left, left - 1)) {
		if (left % 2) {
			errno = EINTR;
			return -1;
		}
		len = len > 5000 ? 5000 : len;
	}
	if (plan.err && fd == plan.fd && (uint64_t)at + len > plan.from) {
		if ((uint64_t)at >= plan.from) {
			errno = plan.err;
			return -1;
		}
		len = plan.from - (uint64_t)at;
	}
	return __real_pread(fd, to, len, at);
}

int __wrap_thread_start(pthread_t *thread, const char *name,
			void *(*run)(void *arg), void *arg)
{
	if (plan.no_threads)
		return -EAGAIN;
	atomic_fetch_add(&plan.threads, 1);
	return __real_thread_start(thread, name, run, arg);
}

/* Whether the big guest has @page: runs of all lengths, and long gaps. */
static bool has_page(uint64_t page)
{
	return page % 7 != 3 && page % 100 < 90 && page % 5000 < 4000;
}

static bool has_every_other_page(uint64_t page)
{
	return page % 2;
}

/* Saves a guest with the pages that @has says. */
static void save_big(const char *path, bool (*has)(uint64_t page))
{
	struct snap_save_config config = {
		.path = path, .arch = ARCH, .ranges = big, .range_count = 2
	};
	static uint8_t pages[100 * PAGE];
	struct snap_save *save;

	assert_int_equal(snap_save_begin(&save, &config), 0);
	for (uint64_t at = 0; at < BIG_PAGES; at += 100) {
		for (uint64_t i = 0; i < 100; i++)
			put_le64(pages + i * PAGE + 8 * (i % 512),
				 has(at + i) ? at + i + 1 : 0);
		assert_int_equal(snap_save_pages(save, at, 100, pages), 0);
	}
	assert_int_equal(snap_save_commit(save), 0);
}

struct world {
	char *dir, *path;
	struct snap_file f;
};

/* One snapshot for all tests, which leave it as it was: saving takes longest. */
static int group_set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->dir = fixture_dir();
	w->path = path_in(w->dir, "snap");
	save_big(w->path, has_page);
	*state = w;
	return snap_open(&w->f, w->path, ARCH);
}

static int group_tear_down(void **state)
{
	struct world *w = *state;

	snap_close(&w->f);
	free(w->path);
	fixture_clean(w->dir);
	free(w);
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	memset(&plan, 0, sizeof(plan));
	return 0;
}

/* A snapshot that the test may change. */
static void own_open(const struct world *w, struct world *own,
		     bool (*has)(uint64_t page))
{
	own->path = path_in(w->dir, "own");
	save_big(own->path, has);
	assert_int_equal(snap_open(&own->f, own->path, ARCH), 0);
}

static void own_close(struct world *own)
{
	snap_close(&own->f);
	free(own->path);
}

/* Changes one byte of @page, or changes it back. */
static void flip(const struct world *w, uint64_t page)
{
	char *file = path_in(w->path, "memory");
	int fd = open(file, O_RDWR | O_CLOEXEC);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(__real_pread(fd, &byte, 1, (off_t)page * PAGE + 77),
			 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)page * PAGE + 77), 1);
	close(fd);
	free(file);
}

/* It is refused with @err and one line, which contains @text. */
static void refused(const struct snap_file *f, int err, const char *text)
{
	char said[4096] = "";
	struct caught caught;
	unsigned int lines;
	int r;

	catch_lines(&caught);
	r = snap_verify(f, NULL, NULL);
	fflush(stderr);
	__real_pread(caught.kept, said, sizeof(said) - 1, 0);
	lines = release_lines(&caught);
	if (r != err || lines != 1 || !strstr(said, text))
		fail_msg("%d, %u lines: %s, not %s", r, lines, said, text);
}

/* The text with which an error at @page is reported. */
static const char *at_page(const char *what, uint64_t page)
{
	static char text[100];
	uint64_t gpa = page < LOW_PAGES ?
			       page * PAGE :
			       big[1].gpa + (page - LOW_PAGES) * PAGE;

	snprintf(text, sizeof(text), "/memory: %s %#llx", what,
		 (unsigned long long)gpa);
	return text;
}

#define CORRUPT "corrupt page at guest address"

/* Pages of runs, of short gaps, of long gaps; each time one below the others. */
static void the_lowest_is_reported(void **state)
{
	static const uint64_t pages[] = { 7999, 6789, 5345, 5000, 4999,
					  4500, 4400, 4000, 3001, 2561,
					  95,	3,    2,    0 };
	const struct world *w = *state;

	assert_int_equal(snap_verify(&w->f, NULL, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		flip(w, pages[i]);
		for (int round = 0; round < 5; round++)
			refused(&w->f, -EBADMSG, at_page(CORRUPT, pages[i]));
	}
	for (size_t i = ARRAY_SIZE(pages); i-- > 1;) {
		flip(w, pages[i]);
		refused(&w->f, -EBADMSG, at_page(CORRUPT, pages[i - 1]));
	}
	flip(w, pages[0]);
	assert_int_equal(snap_verify(&w->f, NULL, NULL), 0);
}

/* Zeros on disk in a gap are as good as a hole. */
static void a_copy_without_holes(void **state)
{
	struct world own;
	uint8_t *data;
	size_t len;

	own_open(*state, &own, has_page);
	data = read_file(own.path, "memory", &len);
	write_file(own.path, "memory", data, len);
	free(data);
	snap_close(&own.f);
	assert_int_equal(snap_open(&own.f, own.path, ARCH), 0);
	assert_int_equal(snap_verify(&own.f, NULL, NULL), 0);
	flip(&own, 4321);
	refused(&own.f, -EBADMSG, at_page(CORRUPT, 4321));
	own_close(&own);
}

static void many_runs(void **state)
{
	struct world own;

	own_open(*state, &own, has_every_other_page);
	assert_int_equal(own.f.run_count, BIG_PAGES / 2);
	assert_int_equal(snap_verify(&own.f, NULL, NULL), 0);
	flip(&own, 7000);
	refused(&own.f, -EBADMSG, at_page(CORRUPT, 7000));
	flip(&own, 6777);
	refused(&own.f, -EBADMSG, at_page(CORRUPT, 6777));
	own_close(&own);
}

/* A file that is cut after it was opened; a corrupt page before is lower. */
static void truncated(void **state)
{
	struct world own;
	char *file;

	own_open(*state, &own, has_page);
	file = path_in(own.path, "memory");
	assert_int_equal(truncate(file, 6123 * PAGE + 100), 0);
	refused(&own.f, -EBADMSG, at_page("truncated at guest address", 6123));
	flip(&own, 6122);
	refused(&own.f, -EBADMSG, at_page(CORRUPT, 6122));
	free(file);
	file = path_in(own.path, "pages");
	assert_int_equal(truncate(file, (off_t)own.f.sums_offset), 0);
	refused(&own.f, -EBADMSG, "/pages: truncated");
	free(file);
	own_close(&own);
}

/* The page that cannot be read is named, unless one below is corrupt. */
static void reads_that_fail(void **state)
{
	const struct world *w = *state;
	struct snap_file sealed;

	plan.fd = w->f.memory_fd;
	plan.from = UINT64_C(6006) * PAGE;
	plan.err = EIO;
	for (int round = 0; round < 5; round++)
		refused(&w->f, -EIO, at_page("read guest address", 6006));
	flip(w, 6005);
	flip(w, 6010);
	refused(&w->f, -EBADMSG, at_page(CORRUPT, 6005));
	flip(w, 6005);
	refused(&w->f, -EIO, at_page("read guest address", 6006));
	sealed = w->f;
	sealed.fsverity = true;
	refused(&sealed, -EIO, "fs-verity");
	plan.from = 0;
	refused(&w->f, -EIO, at_page("read guest address", 0));
	plan.fd = w->f.pages_fd;
	plan.err = ESTALE;
	refused(&w->f, -ESTALE, "/pages: read: Stale file handle");
	flip(w, 6010);
}

static void interrupted_and_short_reads(void **state)
{
	const struct world *w = *state;

	atomic_store(&plan.interrupts, 500);
	assert_int_equal(snap_verify(&w->f, NULL, NULL), 0);
	assert_int_equal(atomic_load(&plan.interrupts), 0);
}

static void no_threads(void **state)
{
	const struct world *w = *state;

	plan.no_threads = true;
	assert_int_equal(snap_verify(&w->f, NULL, NULL), 0);
	flip(w, 5345);
	refused(&w->f, -EBADMSG, at_page(CORRUPT, 5345));
	flip(w, 5345);
}

/* One thread per processor that this process may use, and no more. */
static void processors(void **state)
{
	const struct world *w = *state;
	cpu_set_t before, one;
	int count;

	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	/* A thread for each 4 MiB, at most 16. */
	count = 1 + (int)(w->f.present_count / 1024);
	assert_in_range(count, 2, 16);
	if (CPU_COUNT(&before) < count)
		count = CPU_COUNT(&before);
	assert_int_equal(snap_verify(&w->f, NULL, NULL), 0);
	assert_int_equal(plan.threads, count - 1);
	plan.threads = 0;
	CPU_ZERO(&one);
	for (int cpu = 0; !CPU_COUNT(&one); cpu++)
		if (CPU_ISSET(cpu, &before))
			CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(snap_verify(&w->f, NULL, NULL), 0);
	assert_int_equal(plan.threads, 0);
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

struct progress {
	pthread_t thread;
	uint64_t last, calls;
};

static void take_progress(void *ctx, uint64_t done)
{
	struct progress *progress = ctx;

	assert_true(pthread_equal(progress->thread, pthread_self()));
	assert_true(done >= progress->last);
	progress->last = done;
	progress->calls++;
}

static void progress_increases(void **state)
{
	const struct world *w = *state;
	struct progress progress = { pthread_self(), 0, 0 };
	struct caught caught;

	assert_int_equal(snap_verify(&w->f, take_progress, &progress), 0);
	assert_int_equal(progress.last, w->f.present_count);
	assert_true(progress.calls > 1);
	/* Nothing above an error is counted, apart from pieces in progress. */
	flip(w, 500);
	progress = (struct progress){ pthread_self(), 0, 0 };
	catch_lines(&caught);
	assert_int_equal(snap_verify(&w->f, take_progress, &progress),
			 -EBADMSG);
	assert_int_equal(release_lines(&caught), 1);
	assert_true(progress.last < 500 + 16 * 256);
	flip(w, 500);
}

#define TEST(f) cmocka_unit_test_setup(f, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_lowest_is_reported),
		TEST(a_copy_without_holes),
		TEST(many_runs),
		TEST(truncated),
		TEST(reads_that_fail),
		TEST(interrupted_and_short_reads),
		TEST(no_threads),
		TEST(processors),
		TEST(progress_increases),
	};

	return cmocka_run_group_tests_name("snap-verify", tests, group_set_up,
					   group_tear_down);
}
