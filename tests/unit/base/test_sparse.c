/* SPDX-License-Identifier: BSD-2-Clause */
/* Copies that keep holes, on the file system of $TMPDIR or /tmp. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/base/bytes.h"
#include "vmm/base/sparse.h"

#define UNIT  SPARSE_BYTES
#define BYTES (3 * SPARSE_PIECE_BYTES + 5 * UNIT + 512)

/* A file without a name. */
static int make_file(void)
{
	const char *tmp = getenv("TMPDIR");
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/thaw-sparse-XXXXXX",
		 tmp ? tmp : "/tmp");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	return fd;
}

static uint64_t disk_bytes(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* The file has these contents. */
static void holds(int fd, const uint8_t *data, uint64_t bytes)
{
	uint8_t *got = calloc(1, bytes + 1);
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, bytes);
	assert_int_equal(pread(fd, got, bytes, 0), bytes);
	assert_memory_equal(got, data, bytes);
	free(got);
}

/* Zeros with some data, the last bytes among it. */
static uint8_t *make_data(void)
{
	uint8_t *data = calloc(1, BYTES);

	for (uint64_t i = 5 * UNIT; i < 7 * UNIT + 3; i++)
		data[i] = (uint8_t)(i % 251 + 1);
	data[SPARSE_PIECE_BYTES + 9 * UNIT - 1] = 1;
	data[BYTES - 1] = 2;
	return data;
}

static void zeros_are_holes(void **state)
{
	uint8_t *data = make_data();
	int fd = make_file();

	(void)state;
	assert_int_equal(ftruncate(fd, BYTES), 0);
	assert_int_equal(sparse_write(fd, data, BYTES, 0, true), 0);
	holds(fd, data, BYTES);
	assert_true(disk_bytes(fd) <= 64 * KIB);
	/* Zeros replace what was there. */
	memset(data + 5 * UNIT, 0, 2 * UNIT);
	data[20 * UNIT] = 7;
	assert_int_equal(sparse_write(fd, data, BYTES, 0, false), 0);
	holds(fd, data, BYTES);
	assert_true(disk_bytes(fd) <= 64 * KIB);
	close(fd);
	free(data);
}

static void finds_data(void **state)
{
	uint8_t *data = make_data();
	uint64_t start, end, at = 0, ranges = 0;
	int fd = make_file(), null = open("/dev/zero", O_RDONLY);

	(void)state;
	assert_int_equal(ftruncate(fd, BYTES), 0);
	assert_false(sparse_next_data(fd, 0, BYTES, &start, &end));
	assert_int_equal(sparse_write(fd, data, BYTES, 0, true), 0);
	while (sparse_next_data(fd, at, BYTES, &start, &end)) {
		assert_true(start >= at && start < end && end <= BYTES);
		for (uint64_t i = at; i < start; i++)
			assert_int_equal(data[i], 0);
		at = end;
		ranges++;
	}
	for (uint64_t i = at; i < BYTES; i++)
		assert_int_equal(data[i], 0);
	assert_true(ranges >= 1);
	assert_false(sparse_next_data(fd, BYTES, BYTES, &start, &end));
	/* Within the limit only. */
	assert_true(sparse_next_data(fd, 6 * UNIT, 6 * UNIT + 9, &start, &end));
	assert_int_equal(start, 6 * UNIT);
	assert_int_equal(end, 6 * UNIT + 9);
	assert_false(sparse_next_data(fd, 0, UNIT, &start, &end));
	/* A file that cannot tell. */
	if (lseek(null, 0, SEEK_DATA) < 0) {
		assert_true(sparse_next_data(null, 3, 9, &start, &end));
		assert_int_equal(start, 3);
		assert_int_equal(end, 9);
	}
	close(null);
	close(fd);
	free(data);
}

static void copies(void **state)
{
	uint8_t *data = make_data();
	int from = make_file(), to = make_file(), other = make_file();
	int shm = memfd_create("sparse", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ftruncate(from, BYTES), 0);
	assert_int_equal(sparse_write(from, data, BYTES, 0, true), 0);
	if (sparse_clone(to, from, BYTES) == 0)
		holds(to, data, BYTES);
	else
		print_message("no clones on this file system\n");
	assert_int_equal(sparse_copy(other, from, BYTES), 0);
	holds(other, data, BYTES);
	assert_true(disk_bytes(other) <= 64 * KIB);
	/* Another file system; and not all of it. */
	assert_int_equal(sparse_copy(shm, from, 7 * UNIT + 512), 0);
	holds(shm, data, 7 * UNIT + 512);
	close(shm);
	shm = memfd_create("sparse", MFD_CLOEXEC);
	assert_int_equal(pwrite(from, "x", 1, BYTES + 9), 1);
	assert_int_equal(ftruncate(from, BYTES + 1), 0);
	assert_int_equal(sparse_copy(shm, from, BYTES + UNIT), -ENODATA);
	close(shm);
	close(other);
	close(to);
	close(from);
	free(data);
}

/* Where there is no room, and nothing to punch. */
static void reports_errors(void **state)
{
	static const uint8_t zeros[UNIT], ones[UNIT] = { 1 };
	int full = open("/dev/full", O_RDWR);

	(void)state;
	assert_int_equal(sparse_write(full, ones, UNIT, 0, true), -ENOSPC);
	assert_int_equal(sparse_write(full, zeros, UNIT, 0, false), -ENOSPC);
	assert_int_equal(sparse_write(full, zeros, UNIT, 0, true), 0);
	assert_true(sparse_clone(full, full, UNIT) < 0);
	close(full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zeros_are_holes),
		cmocka_unit_test(finds_data),
		cmocka_unit_test(copies),
		cmocka_unit_test(reports_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
