/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Snapshots with fs-verity: what is asked of the kernel and when, and what is
 * left where it refuses. The linker wraps ioctl(2) and statx(2) (meson.build), so
 * that most of it runs without fs-verity; the first test asks the real kernel.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fsverity.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "vmm/base/bytes.h"
#include "vmm/snap/save.h"

/* What the wrapped functions do. */
static struct {
	bool real;
	unsigned int calls; /* of the ioctl */
	unsigned int fail_at; /* the call that fails, with... */
	int err;
	char target[300]; /* must not exist yet */
	off_t sizes[2]; /* of the file, at the first calls */
	ino_t sealed; /* the file that has fs-verity; 0: none */
} plan;

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __real_statx(int dir, const char *path, int flags, unsigned int mask,
		 struct statx *st);
int __wrap_statx(int dir, const char *path, int flags, unsigned int mask,
		 struct statx *st);

/* How many descriptors of this process can write to the file of @st. */
static unsigned int count_writers(const struct stat *st)
{
	unsigned int writers = 0;

	for (int fd = 0; fd < 1024; fd++) {
		int flags = fcntl(fd, F_GETFL);
		struct stat other;

		writers += flags >= 0 && (flags & O_ACCMODE) != O_RDONLY &&
			   !fstat(fd, &other) && other.st_ino == st->st_ino &&
			   other.st_dev == st->st_dev;
	}
	return writers;
}

/* The kernel's conditions (Documentation/filesystems/fsverity.rst). */
int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	const struct fsverity_enable_arg *enable = arg;
	struct stat st, target;

	if (plan.real)
		return __real_ioctl(fd, request, arg);
	assert_int_equal(request, FS_IOC_ENABLE_VERITY);
	assert_int_equal(enable->version, 1);
	assert_int_equal(enable->hash_algorithm, FS_VERITY_HASH_ALG_SHA256);
	assert_int_equal(enable->block_size, 4096);
	assert_int_equal(enable->salt_size, 0);
	assert_int_equal(enable->sig_size, 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(count_writers(&st), 0);
	if (plan.target[0])
		assert_int_equal(stat(plan.target, &target), -1);
	if (plan.calls < ARRAY_SIZE(plan.sizes))
		plan.sizes[plan.calls] = st.st_size;
	if (++plan.calls == plan.fail_at) {
		errno = plan.err;
		return -1;
	}
	plan.sealed = st.st_ino;
	return 0;
}

int __wrap_statx(int dir, const char *path, int flags, unsigned int mask,
		 struct statx *st)
{
	int r = __real_statx(dir, path, flags, mask | STATX_INO, st);

	if (!r && !plan.real && st->stx_ino == plan.sealed)
		st->stx_attributes |= STATX_ATTR_VERITY;
	return r;
}

/* Saves the guest of @seed with fs-verity; the first error, with one line. */
static int save_sealed(const char *path, unsigned int seed, char said[2048])
{
	struct snap_save_config config = { .path = path,
					   .arch = ARCH,
					   .ranges = ranges,
					   .range_count = 2,
					   .fsverity = true };
	uint8_t *memory = guest_memory(seed);
	struct snap_save *save;
	struct caught caught;
	unsigned int lines;
	ssize_t n;
	int err;

	catch_lines(&caught);
	err = snap_save_begin(&save, &config);
	if (!err) {
		err = snap_save_pages(save, 0, PAGES, memory);
		if (!err)
			err = snap_save_commit(save);
		else
			snap_save_abort(save);
	}
	fflush(stderr);
	n = pread(caught.kept, said, 2047, 0);
	said[n < 0 ? 0 : n] = '\0';
	lines = release_lines(&caught);
	free(memory);
	if (lines != (err != 0))
		fail_msg("%d, %u lines: %s", err, lines, said);
	return err;
}

static int set_up(void **state)
{
	memset(&plan, 0, sizeof(plan));
	*state = fixture_dir();
	return 0;
}

static int tear_down(void **state)
{
	fixture_clean(*state);
	return 0;
}

/* The refusal says what to do. */
static void check_refusal(const char *path, const char *said)
{
	assert_non_null(strstr(said, path));
	assert_non_null(strstr(said, "/memory: no fs-verity: "));
	assert_non_null(strstr(said, "mke2fs -O verity"));
	assert_non_null(strstr(said, "tune2fs -O verity"));
}

/*
 * The file system of the test's directory: refused, and nothing is left, or the
 * file cannot be changed any more.
 */
static void as_this_host_has_it(void **state)
{
	char *path = path_in(*state, "snap"), *file = path_in(path, "memory");
	char said[2048];
	struct snap_file f;
	int err;

	plan.real = true;
	err = save_sealed(path, 1, said);
	if (err) {
		print_message("no fs-verity here: %s", said);
		assert_int_equal(err, -ENOTTY);
		check_refusal(path, said);
		assert_int_equal(count_entries(*state), 0);
	} else {
		assert_int_equal(snap_open(&f, path, ARCH), 0);
		assert_true(f.fsverity);
		assert_int_equal(snap_verify(&f, NULL, NULL), 0);
		assert_int_equal(snap_workingset_write(&f, NULL, 0), 0);
		snap_close(&f);
		assert_int_equal(open(file, O_RDWR), -1);
		assert_int_equal(errno, EPERM);
		/* It is replaced and removed like any other. */
		assert_int_equal(save_sealed(path, 2, said), 0);
		assert_int_equal(count_entries(*state), 1);
	}
	free(file);
	free(path);
}

static void each_refusal(void **state)
{
	static const struct {
		int err, result;
	} errors[] = { { EOPNOTSUPP, -ENOTTY },
		       { ENOTTY, -ENOTTY },
		       { ENOSYS, -ENOTTY },
		       { EINVAL, -ENOTTY },
		       { ETXTBSY, -ETXTBSY },
		       { ENOSPC, -ENOSPC },
		       { EIO, -EIO } };
	char *path = path_in(*state, "snap");
	char said[2048];

	/* The first call tries, the second is for guest memory. */
	for (unsigned int at = 1; at <= 2; at++)
		for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
			plan.calls = 0;
			plan.fail_at = at;
			plan.err = errors[i].err;
			assert_int_equal(save_sealed(path, 1, said),
					 errors[i].result);
			assert_int_equal(plan.calls, at);
			assert_int_equal(count_entries(*state), 0);
			if (errors[i].result == -ENOTTY)
				check_refusal(path, said);
			else
				assert_non_null(
					strstr(said, "enable fs-verity: "));
		}
	/* A snapshot that is already there stays as it was. */
	assert_int_equal(save_guest(path, 7), 0);
	for (unsigned int at = 1; at <= 2; at++) {
		plan.calls = 0;
		plan.fail_at = at;
		assert_int_equal(save_sealed(path, 1, said), -EIO);
		assert_int_equal(check_guest(path, 7), 0);
		assert_int_equal(count_entries(*state), 1);
		assert_int_equal(count_entries(path), 3);
	}
	free(path);
}

/* Enabled when the file is complete and before the snapshot is in place. */
static void enabled_in_time(void **state)
{
	static const uint64_t pages[] = { 3, 1, 2 };
	char *path = path_in(*state, "snap");
	uint64_t *got, count;
	char said[2048];
	struct snap_file f;

	snprintf(plan.target, sizeof(plan.target), "%s", path);
	assert_int_equal(save_sealed(path, 1, said), 0);
	assert_int_equal(plan.calls, 2);
	assert_int_equal(plan.sizes[0], 1);
	assert_int_equal(plan.sizes[1], PAGES * 4096);
	assert_int_equal(count_entries(*state), 1);
	assert_int_equal(count_entries(path), 3);

	assert_int_equal(snap_open(&f, path, ARCH), 0);
	assert_true(f.fsverity);
	assert_int_equal(snap_verify(&f, NULL, NULL), 0);
	assert_int_equal(snap_workingset_write(&f, pages, 3), 0);
	assert_int_equal(snap_workingset_read(&f, &got, &count), 0);
	assert_int_equal(count, 3);
	free(got);
	snap_close(&f);

	/* Replaced by one without. */
	assert_int_equal(save_guest(path, 2), 0);
	assert_int_equal(plan.calls, 2);
	assert_int_equal(snap_open(&f, path, ARCH), 0);
	assert_false(f.fsverity);
	snap_close(&f);
	free(path);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(as_this_host_has_it),
		TEST(each_refusal),
		TEST(enabled_in_time),
	};

	return cmocka_run_group_tests_name("snap-verity", tests, NULL, NULL);
}
