// SPDX-License-Identifier: BSD-2-Clause
/*
 * Private disks, as clones and as overlays: each has the contents of the file, what is
 * written to one is in no other, and nothing is left of them.
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
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/base/tree.h"
#include "tests/unit/io/clone.h"
#include "vmm/base/bytes.h"
#include "vmm/io/disk.h"

#define DISK_BYTES (256 * KIB + 512)

struct fixture {
	char folder[300], path[320];
	char *tmpdir; /* as it was */
	int dir_fd;
	struct disk a, b;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));
	const char *tmp = getenv("TMPDIR");
	uint8_t byte;
	FILE *file;

	snprintf(x->folder, sizeof(x->folder), "%s/thaw-private-XXXXXX",
		 tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(x->folder));
	x->tmpdir = tmp ? strdup(tmp) : NULL;
	snprintf(x->path, sizeof(x->path), "%s/disk-0", x->folder);
	file = fopen(x->path, "w");
	for (unsigned int i = 0; i < DISK_BYTES; i++) {
		byte = (uint8_t)(i / 512 + 1);
		fputc(byte, file);
	}
	fclose(file);
	x->dir_fd = open(x->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(setenv("TMPDIR", x->folder, 1), 0);
	clones = CLONES_NONE;
	clone_calls = clone_error = 0;
	*state = x;
	return 0;
}

static unsigned int count_files(const char *folder)
{
	DIR *dir = opendir(folder);
	unsigned int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	disk_close(&x->a);
	disk_close(&x->b);
	assert_int_equal(count_files(x->folder), 1);
	if (x->tmpdir)
		setenv("TMPDIR", x->tmpdir, 1);
	else
		unsetenv("TMPDIR");
	free(x->tmpdir);
	close(x->dir_fd);
	remove_tree(x->folder);
	free(x);
	return 0;
}

static int open_private(struct fixture *x, struct disk *disk)
{
	int base = open(x->path, O_RDONLY | O_CLOEXEC);

	assert_true(base >= 0);
	return disk_open_private(disk, base, x->dir_fd, DISK_BYTES, x->path);
}

/* The first byte of sector @n. */
static uint8_t sector(struct disk *disk, uint64_t n)
{
	uint8_t data[512];
	struct iovec iov = { data, sizeof(data) };

	assert_int_equal(disk_readv(disk, &iov, 1, n * 512), 0);
	return data[0];
}

static void write_sector(struct disk *disk, uint64_t n, uint8_t byte)
{
	uint8_t data[512];
	struct iovec iov = { data, sizeof(data) };

	memset(data, byte, sizeof(data));
	assert_int_equal(disk_writev(disk, &iov, 1, n * 512), 0);
}

/* What both kinds do. */
static void two_disks(struct fixture *x)
{
	struct stat before, after;

	assert_int_equal(stat(x->path, &before), 0);
	assert_int_equal(open_private(x, &x->a), 0);
	assert_int_equal(open_private(x, &x->b), 0);
	assert_true(x->a.private && !x->a.read_only);
	assert_int_equal(x->a.size_bytes, DISK_BYTES);
	assert_string_equal(disk_name(&x->a), x->path);
	write_sector(&x->a, 9, 200);
	write_sector(&x->b, 10, 201);
	write_sector(&x->b, DISK_BYTES / 512 - 1, 202);
	assert_int_equal(disk_discard(&x->a, 4096 * 3, 8192), 0);
	assert_int_equal(disk_write_zeroes(&x->b, 4096 * 3 + 512, 512, true),
			 0);
	assert_int_equal(disk_flush(&x->a, disk_failed_syncs(&x->a)), 0);
	assert_int_equal(disk_sync(&x->a), 0);
	assert_int_equal(sector(&x->a, 9), 200);
	assert_int_equal(sector(&x->a, 10), 11);
	assert_int_equal(sector(&x->a, 24), 0);
	assert_int_equal(sector(&x->a, DISK_BYTES / 512 - 1), 1);
	assert_int_equal(sector(&x->b, 9), 10);
	assert_int_equal(sector(&x->b, 10), 201);
	assert_int_equal(sector(&x->b, 24), 25);
	assert_int_equal(sector(&x->b, 25), 0);
	assert_int_equal(sector(&x->b, DISK_BYTES / 512 - 1), 202);
	assert_int_equal(stat(x->path, &after), 0);
	assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	assert_int_equal(count_files(x->folder), 1);
}

static void test_overlay(void **state)
{
	struct fixture *x = *state;

	two_disks(x);
	assert_non_null(x->a.overlay);
}

static void test_clone(void **state)
{
	struct fixture *x = *state;

	clones = CLONES_COPIED;
	two_disks(x);
	assert_null(x->a.overlay);
}

static void test_real(void **state)
{
	clones = CLONES_REAL;
	two_disks(*state);
}

/* A VM that writes to the file excludes private ones, and the other way round. */
static void test_locks(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(disk_open(&x->a, x->path, false), 0);
	assert_int_equal(open_private(x, &x->b), -EBUSY);
	disk_close(&x->a);
	assert_int_equal(open_private(x, &x->b), 0);
	assert_int_equal(disk_open(&x->a, x->path, false), -EBUSY);
	assert_int_equal(disk_open(&x->a, x->path, true), 0);
}

/* A folder that does not exist. */
static void test_no_folder(void **state)
{
	struct fixture *x = *state;

	setenv("TMPDIR", "/nowhere/at/all", 1);
	assert_int_equal(open_private(x, &x->a), -ENOENT);
	/* A clone needs none. */
	clones = CLONES_COPIED;
	assert_int_equal(open_private(x, &x->a), 0);
	setenv("TMPDIR", x->folder, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_overlay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_real, setup, teardown),
		cmocka_unit_test_setup_teardown(test_locks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_folder, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
