/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Snapshots with copies of disks: they are committed, replaced, removed and flattened
 * with the rest; forged lists and files of another size are refused; a user's file of
 * such a name is none of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "tests/unit/base/capture.h"
#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/snap/save.h"
#include "vmm/snap/section.h"

#define DISK_BYTES UINT64_C(12800)

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

/* Begins a snapshot with copies of the disks in @disks, a bit each. */
static struct snap_save *begin(const char *path, const char *base,
			       uint32_t disks)
{
	struct snap_save_config config = {
		.path = path, .arch = ARCH, .ranges = ranges, .range_count = 2
	};
	struct snap_file file;
	struct snap_save *save;

	if (base) {
		assert_int_equal(snap_open(&file, base, ARCH), 0);
		config.base = &file;
		config.base_name = strrchr(base, '/') + 1;
	}
	assert_int_equal(snap_save_begin(&save, &config), 0);
	for (unsigned int i = 0; i < SNAP_DISKS_MAX; i++) {
		uint8_t data = (uint8_t)(i + 1);
		int fd;

		if (!(disks >> i & 1))
			continue;
		fd = snap_save_disk(save, i, DISK_BYTES);
		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, DISK_BYTES), 0);
		assert_int_equal(pwrite(fd, &data, 1, DISK_BYTES - 1), 1);
	}
	return save;
}

static void save(const char *path, const char *base, uint32_t disks)
{
	assert_int_equal(snap_save_commit(begin(path, base, disks)), 0);
}

/* Whether the snapshot has these copies, with their contents, and no others. */
static void has_disks(const char *path, uint32_t disks)
{
	struct snap_file f;

	assert_int_equal(snap_open(&f, path, ARCH), 0);
	assert_int_equal(snap_check_disks(&f), 0);
	for (unsigned int i = 0; i < SNAP_DISKS_MAX; i++) {
		bool has = disks >> i & 1;
		uint8_t data;
		int fd;

		assert_int_equal(f.disk_bytes[i], has ? DISK_BYTES : 0);
		if (!has)
			continue;
		fd = snap_open_disk(&f, i);
		assert_true(fd >= 0);
		assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
		assert_int_equal(pread(fd, &data, 1, DISK_BYTES - 1), 1);
		assert_int_equal(data, i + 1);
		close(fd);
	}
	snap_close(&f);
}

static unsigned int files_of(uint32_t disks)
{
	return 3 + (unsigned int)__builtin_popcount(disks);
}

/* qemu-user has no openat2(2), without which no file is opened. */
static bool can_open_inside(const struct snap_file *f)
{
	return snap_open_inside(f, "nothing", O_RDONLY) != -ENOSYS;
}

static void round_trip(void **state)
{
	char *path = path_in(*state, "snap");
	struct snap_file f;

	save(path, NULL, 0x80000005);
	has_disks(path, 0x80000005);
	assert_int_equal(count_entries(path), files_of(0x80000005));
	/* Replaced by one with others, and by one without. */
	save(path, NULL, 2);
	has_disks(path, 2);
	assert_int_equal(count_entries(path), files_of(2));
	/* The copy is not opened for writing by another way. */
	assert_int_equal(snap_open(&f, path, ARCH), 0);
	if (can_open_inside(&f)) {
		assert_int_equal(snap_open_inside(&f, "disk-1", O_RDWR),
				 -EPERM);
		assert_int_equal(snap_open_inside(&f, "disk-0", O_RDWR),
				 -ENOENT);
	}
	snap_close(&f);
	save(path, NULL, 0);
	has_disks(path, 0);
	assert_int_equal(count_entries(path), files_of(0));
	assert_int_equal(count_entries(*state), 1);
	free(path);
}

/* An aborted save leaves nothing, nor does one whose process was killed. */
static void nothing_is_left(void **state)
{
	char *path = path_in(*state, "snap");
	char *stale = path_in(*state, ".snap.01234567.tmp");

	snap_save_abort(begin(path, NULL, 7));
	assert_int_equal(count_entries(*state), 0);
	assert_int_equal(mkdir(stale, 0700), 0);
	write_file(stale, "disk-31", (const uint8_t *)"x", 1);
	write_file(stale, "memory", (const uint8_t *)"x", 1);
	save(path, NULL, 1);
	assert_int_equal(count_entries(*state), 1);
	free(stale);
	free(path);
}

/* A file of the user with such a name keeps a snapshot from being replaced. */
static void user_files(void **state)
{
	char *path = path_in(*state, "snap"), *inside;
	struct snap_save_config config = {
		.path = path, .arch = ARCH, .ranges = ranges, .range_count = 2
	};
	struct snap_save *s;
	struct snap_file f;
	int fd;

	save(path, NULL, 1);
	for (unsigned int i = 0; i < 3; i++) {
		static const char *const names[] = { "disk-1", "disk-00",
						     "disk-32" };

		write_file(path, names[i], (const uint8_t *)"x", 1);
		assert_int_equal(snap_save_begin(&s, &config), -ENOTEMPTY);
		inside = path_in(path, names[i]);
		assert_int_equal(unlink(inside), 0);
		free(inside);
	}
	save(path, NULL, 0);
	write_file(path, "disk-0", (const uint8_t *)"x", 1);
	assert_int_equal(snap_save_begin(&s, &config), -ENOTEMPTY);
	/* It can be a disk of the guest, as before. */
	assert_int_equal(snap_open(&f, path, ARCH), 0);
	fd = snap_open_inside(&f, "disk-0", O_RDWR);
	assert_true(fd >= 0 || !can_open_inside(&f));
	if (fd >= 0)
		close(fd);
	snap_close(&f);
	free(path);
}

/* A copy that a VM writes to, as its own disk, is not replaced: the guest needs it. */
static void used_copies(void **state)
{
	char *path = path_in(*state, "snap"), *disk = path_in(path, "disk-2");
	struct snap_save_config config = {
		.path = path, .arch = ARCH, .ranges = ranges, .range_count = 2
	};
	struct snap_save *s;
	int fd;

	save(path, NULL, 5);
	s = begin(path, NULL, 1);
	fd = open(disk, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(snap_save_commit(s), -ETXTBSY);
	assert_int_equal(snap_save_begin(&s, &config), -ETXTBSY);
	has_disks(path, 5);
	assert_int_equal(count_entries(*state), 1);
	/* Restores that only read it need no name. */
	assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), 0);
	save(path, NULL, 1);
	has_disks(path, 1);
	close(fd);
	free(disk);
	free(path);
}

/* Opening the copy of disk 0 must fail, with this in the message. */
static void refused(const char *path, int err, const char *why)
{
	struct capture capture;
	struct snap_file f;
	const char *said;
	int r, all;

	assert_int_equal(snap_open(&f, path, ARCH), 0);
	capture_start(&capture, STDERR_FILENO);
	r = snap_open_disk(&f, 0);
	said = capture_end(&capture);
	assert_int_equal(r, err);
	assert_non_null(strstr(said, "/disk-0: "));
	assert_non_null(strstr(said, why));
	capture_start(&capture, STDERR_FILENO);
	all = snap_check_disks(&f);
	capture_end(&capture);
	assert_int_equal(all, err);
	snap_close(&f);
}

static void bad_files(void **state)
{
	char *path = path_in(*state, "snap"), *disk = path_in(path, "disk-0");
	char *other = path_in(*state, "other");

	save(path, NULL, 3);
	assert_int_equal(truncate(disk, DISK_BYTES - 512), 0);
	refused(path, -EBADMSG, "truncated");
	assert_int_equal(truncate(disk, DISK_BYTES + 1), 0);
	refused(path, -EBADMSG, "larger than the disk");
	assert_int_equal(unlink(disk), 0);
	refused(path, -ENOENT, "No such file");
	write_file(*state, "other", (const uint8_t *)"x", 1);
	assert_int_equal(truncate(other, DISK_BYTES), 0);
	assert_int_equal(symlink(other, disk), 0);
	refused(path, -EBADMSG, "not a regular file");
	assert_int_equal(unlink(disk), 0);
	assert_int_equal(mkfifo(disk, 0600), 0);
	refused(path, -EBADMSG, "not a regular file");
	free(other);
	free(disk);
	free(path);
}

/* A section like that: a count, and as many numbers with sizes as there are. */
struct forged {
	uint32_t count;
	struct {
		uint32_t n;
		uint64_t bytes;
	} disks[2];
	unsigned int have;
	unsigned int more; /* bytes behind them */
};

static void forge(const char *path, const struct forged *forged)
{
	struct snap_save *s = begin(path, NULL, 0);
	struct snap_writer w = { 0 };

	snap_put_u32(&w, forged->count);
	for (unsigned int i = 0; i < forged->have; i++) {
		snap_put_u32(&w, forged->disks[i].n);
		snap_put_u64(&w, forged->disks[i].bytes);
	}
	for (unsigned int i = 0; i < forged->more; i++)
		snap_put_u8(&w, 0);
	assert_int_equal(snap_save_section(s, SNAP_DISK_TAG, 1, &w), 0);
	snap_writer_finish(&w);
	assert_int_equal(snap_save_commit(s), 0);
}

static void bad_lists(void **state)
{
	static const struct forged cases[] = {
		{ .count = 0 },
		{ .count = 1 },
		{ .count = 33 },
		{ .count = UINT32_MAX },
		{ .count = 1, .disks = { { 32, 512 } }, .have = 1 },
		{ .count = 1, .disks = { { UINT32_MAX, 512 } }, .have = 1 },
		{ .count = 1, .disks = { { 0, 0 } }, .have = 1 },
		{ .count = 1, .disks = { { 0, 513 } }, .have = 1 },
		{ .count = 1, .disks = { { 0, 512 } }, .have = 1, .more = 1 },
		{ .count = 1, .disks = { { 0, 512 }, { 1, 512 } }, .have = 2 },
		{ .count = 2, .disks = { { 0, 512 } }, .have = 1 },
		{ .count = 2, .disks = { { 1, 512 }, { 1, 512 } }, .have = 2 },
		{ .count = 2, .disks = { { 1, 512 }, { 0, 512 } }, .have = 2 },
	};
	char *path = path_in(*state, "snap");
	struct capture capture;
	struct snap_file f;
	int r;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *said;

		forge(path, &cases[i]);
		capture_start(&capture, STDERR_FILENO);
		r = snap_open(&f, path, ARCH);
		said = capture_end(&capture);
		assert_int_equal(r, -EBADMSG);
		assert_non_null(strstr(said, "malformed section disks"));
	}
	free(path);
}

/* Copies are those of a snapshot, not of its base; a flat one has them, too. */
static void with_a_base(void **state)
{
	char *a = path_in(*state, "a"), *b = path_in(*state, "b");
	char *c = path_in(*state, "c"), *flat = path_in(*state, "flat");
	struct snap_file f;

	save(a, NULL, 1);
	save(b, a, 6);
	save(c, b, 0);
	has_disks(b, 6);
	has_disks(c, 0);
	assert_int_equal(snap_open(&f, b, ARCH), 0);
	assert_int_equal(snap_flatten(&f, flat, false), 0);
	snap_close(&f);
	has_disks(flat, 6);
	assert_int_equal(count_entries(flat), files_of(6));
	assert_int_equal(snap_open(&f, c, ARCH), 0);
	assert_int_equal(snap_flatten(&f, flat, false), 0);
	snap_close(&f);
	has_disks(flat, 0);
	assert_int_equal(count_entries(flat), files_of(0));
	free(flat);
	free(c);
	free(b);
	free(a);
}

/* A save that was slow does not make up for it by writing faster than its limit. */
static void no_credit(void **state)
{
	char *path = path_in(*state, "snap");
	struct snap_save *s = begin(path, NULL, 1);
	const struct timespec long_time = { .tv_sec = 3 };
	uint64_t since;

	snap_save_pace(s, MIB);
	nanosleep(&long_time, NULL);
	snap_save_spend(s, MIB);
	since = clock_now_ns();
	snap_save_spend(s, MIB);
	assert_true(clock_now_ns() - since > NS_PER_S / 2);
	snap_save_abort(s);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(round_trip, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_is_left, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(user_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(used_copies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bad_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bad_lists, set_up, tear_down),
		cmocka_unit_test_setup_teardown(with_a_base, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_credit, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
