// SPDX-License-Identifier: BSD-2-Clause
/*
 * Disk images: what opens, what does not, and transfers.
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
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/base/bytes.h"
#include "vmm/io/disk.h"

#define DISK_BYTES 8192

struct fixture {
	char folder[32];
	char path[64];
	struct disk disk;
};

static void write_file(const char *path, size_t bytes)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	for (size_t i = 0; i < bytes; i++)
		fputc((int)(i / 512 + 1), file);
	fclose(file);
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	strcpy(x->folder, "/tmp/thaw-disk-XXXXXX");
	assert_non_null(mkdtemp(x->folder));
	snprintf(x->path, sizeof(x->path), "%s/image", x->folder);
	write_file(x->path, DISK_BYTES);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	disk_close(&x->disk);
	unlink(x->path);
	rmdir(x->folder);
	free(x);
	return 0;
}

static void test_refuses(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(disk_open(&x->disk, x->folder, true), -EISDIR);
	assert_int_equal(disk_open(&x->disk, x->folder, false), -EISDIR);
	assert_int_equal(disk_open(&x->disk, "/nowhere/at/all", true), -ENOENT);
	assert_int_equal(disk_open(&x->disk, "/dev/null", true), -EINVAL);
	write_file(x->path, 511);
	assert_int_equal(disk_open(&x->disk, x->path, true), -EINVAL);
	write_file(x->path, 0);
	assert_int_equal(disk_open(&x->disk, x->path, true), -EINVAL);
	/* A FIFO neither opens nor hangs. */
	unlink(x->path);
	assert_int_equal(mkfifo(x->path, 0600), 0);
	assert_int_equal(disk_open(&x->disk, x->path, true), -EINVAL);
	assert_int_equal(disk_open(&x->disk, x->path, false), -EINVAL);
}

static void test_locks(void **state)
{
	struct fixture *x = *state;
	struct disk other = { 0 };

	assert_int_equal(disk_open(&x->disk, x->path, false), 0);
	assert_int_equal(disk_open(&other, x->path, false), -EBUSY);
	assert_int_equal(disk_open(&other, x->path, true), -EBUSY);
	disk_close(&x->disk);
	/* Many may read. */
	assert_int_equal(disk_open(&x->disk, x->path, true), 0);
	assert_int_equal(disk_open(&other, x->path, true), 0);
	disk_close(&other);
	assert_int_equal(disk_open(&other, x->path, false), -EBUSY);
}

static void test_transfers(void **state)
{
	struct fixture *x = *state;
	uint8_t a[700], b[324];
	struct iovec iov[2] = { { a, sizeof(a) }, { b, sizeof(b) } };

	write_file(x->path, DISK_BYTES + 100); /* the tail is not used */
	assert_int_equal(disk_open(&x->disk, x->path, false), 0);
	assert_int_equal(x->disk.size_bytes, DISK_BYTES);
	assert_int_equal(disk_readv(&x->disk, iov, 2, 512), 0);
	assert_int_equal(a[0], 2);
	assert_int_equal(a[512], 3);
	assert_int_equal(b[323], 3);
	memset(a, 9, sizeof(a));
	assert_int_equal(disk_writev(&x->disk, iov, 2, 4096), 0);
	memset(a, 0, sizeof(a));
	assert_int_equal(disk_readv(&x->disk, iov, 1, 4096), 0);
	assert_int_equal(a[699], 9);
	assert_int_equal(disk_flush(&x->disk), 0);
	/* The file ends early: part of it is not enough. */
	assert_int_equal(truncate(x->path, 1000), 0);
	assert_int_equal(disk_readv(&x->disk, iov, 2, 512), -EIO);
	assert_int_equal(disk_readv(&x->disk, iov, 2, 4096), -EIO);
	assert_int_equal(disk_readv(&x->disk, iov, 0, 0), 0);
}

static void test_read_only(void **state)
{
	struct fixture *x = *state;
	uint8_t a[512] = { 0 };
	struct iovec iov = { a, sizeof(a) };

	assert_int_equal(disk_open(&x->disk, x->path, true), 0);
	assert_int_equal(disk_writev(&x->disk, &iov, 1, 0), -EROFS);
	assert_int_equal(disk_discard(&x->disk, 0, 512), -EROFS);
	assert_int_equal(disk_write_zeroes(&x->disk, 0, 512, false), -EROFS);
	assert_int_equal(disk_readv(&x->disk, &iov, 1, 0), 0);
	assert_int_equal(a[0], 1);
}

static void test_zeroes(void **state)
{
	struct fixture *x = *state;
	uint8_t a[DISK_BYTES];
	struct iovec iov = { a, sizeof(a) };

	assert_int_equal(disk_open(&x->disk, x->path, false), 0);
	assert_int_equal(disk_write_zeroes(&x->disk, 512, 1024, false), 0);
	assert_int_equal(disk_write_zeroes(&x->disk, 4096, 512, true), 0);
	assert_int_equal(disk_readv(&x->disk, &iov, 1, 0), 0);
	for (unsigned int i = 0; i < DISK_BYTES; i++) {
		bool zero = (i >= 512 && i < 1536) || (i >= 4096 && i < 4608);

		assert_int_equal(a[i], zero ? 0 : i / 512 + 1);
	}
}

/* A sync that fails is told to the guest's next flush, once. */
static void test_sync(void **state)
{
	struct fixture *x = *state;
	int pipe_fds[2], image;

	assert_int_equal(disk_open(&x->disk, x->path, false), 0);
	assert_int_equal(disk_sync(&x->disk), 0);
	/* A pipe cannot be synced. */
	image = dup(x->disk.fd);
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(dup2(pipe_fds[0], x->disk.fd), x->disk.fd);
	assert_int_equal(disk_sync(&x->disk), -EINVAL);
	assert_int_equal(dup2(image, x->disk.fd), x->disk.fd);
	assert_int_equal(disk_sync(&x->disk), -EINVAL);
	assert_int_equal(disk_flush(&x->disk), -EINVAL);
	assert_int_equal(disk_flush(&x->disk), 0);
	assert_int_equal(disk_sync(&x->disk), 0);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	close(image);
}

#define TEST(label, function)                          \
	{                                              \
		label, function, setup, teardown, NULL \
	}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST("io-disk-refuses", test_refuses),
		TEST("io-disk-locks", test_locks),
		TEST("io-disk-transfers", test_transfers),
		TEST("io-disk-read-only", test_read_only),
		TEST("io-disk-zeroes", test_zeroes),
		TEST("io-disk-sync", test_sync),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
