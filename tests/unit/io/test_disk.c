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
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/base/bytes.h"
#include "vmm/base/thread.h"
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
	/* Opening a FIFO fails and does not block. */
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

/* O_NONBLOCK has a meaning for io_uring. */
static void test_blocks(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(disk_open(&x->disk, x->path, false), 0);
	assert_int_equal(fcntl(x->disk.fd, F_GETFL) & O_NONBLOCK, 0);
	if (disk_set_direct(&x->disk) < 0)
		skip();
	assert_int_equal(fcntl(x->disk.direct.fd, F_GETFL) & O_NONBLOCK, 0);
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
	assert_int_equal(disk_flush(&x->disk, disk_failed_syncs(&x->disk)), 0);
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

/* The guest's next flush returns the error of a failed sync, once. */
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
	assert_int_equal(disk_flush(&x->disk, disk_failed_syncs(&x->disk)),
			 -EINVAL);
	assert_int_equal(disk_flush(&x->disk, disk_failed_syncs(&x->disk)), 0);
	assert_int_equal(disk_sync(&x->disk), 0);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	close(image);
}

/*
 * In place of the C library's, so that a test can hold a sync and have it fail, as
 * one of a disk that loses a write: the error is reported once.
 */
static struct {
	sem_t entered, go;
	int error; /* of the next sync; 0: it is the real one */
} held_sync;

int fdatasync(int fd)
{
	int err = held_sync.error;

	if (err == 0)
		return (int)syscall(SYS_fdatasync, fd);
	held_sync.error = 0;
	sem_post(&held_sync.entered);
	sem_wait(&held_sync.go);
	errno = err;
	return -1;
}

/* A call on a thread of its own. */
struct background {
	struct fixture *x;
	uint64_t failed_before;
	uint8_t byte;
	sem_t begun;
	int result;
	pthread_t thread;
};

static void *flush_in_background(void *arg)
{
	struct background *b = arg;

	sem_post(&b->begun);
	b->result = disk_flush(&b->x->disk, b->failed_before);
	return NULL;
}

static void *write_in_background(void *arg)
{
	struct background *b = arg;
	uint8_t a[512];
	struct iovec iov = { a, sizeof(a) };

	memset(a, b->byte, sizeof(a));
	sem_post(&b->begun);
	b->result = disk_write_through(&b->x->disk, &iov, 1,
				       (uint64_t)b->byte * 512);
	return NULL;
}

static void begin(struct background *b, void *(*run)(void *arg))
{
	sem_init(&b->begun, 0, 0);
	b->failed_before = disk_failed_syncs(&b->x->disk);
	assert_int_equal(thread_start(&b->thread, "test", run, b), 0);
	sem_wait(&b->begun);
}

static int end(struct background *b)
{
	pthread_join(b->thread, NULL);
	sem_destroy(&b->begun);
	return b->result;
}

/* Opens the disk; the next sync is held. */
static void hold_sync(struct fixture *x)
{
	assert_int_equal(disk_open(&x->disk, x->path, false), 0);
	sem_init(&held_sync.entered, 0, 0);
	sem_init(&held_sync.go, 0, 0);
	held_sync.error = EIO;
}

/* The kernel reports a lost write once; all flushes in flight report it. */
static void test_flushes_fail(void **state)
{
	struct fixture *x = *state;
	struct background a = { .x = x }, b = { .x = x };

	hold_sync(x);
	begin(&a, flush_in_background);
	sem_wait(&held_sync.entered);
	begin(&b, flush_in_background);
	usleep(20000);
	sem_post(&held_sync.go);
	assert_int_equal(end(&a), -EIO);
	assert_int_equal(end(&b), -EIO);
	assert_int_equal(disk_flush(&x->disk, disk_failed_syncs(&x->disk)), 0);
}

/* A write is not lost in the sync of another one. */
static void test_write_through(void **state)
{
	struct fixture *x = *state;
	struct background a = { .x = x, .byte = 3 }, b = { .x = x, .byte = 5 };
	uint8_t now;

	hold_sync(x);
	begin(&a, write_in_background);
	sem_wait(&held_sync.entered);
	begin(&b, write_in_background);
	usleep(20000);
	/* The sync that fails may not take the error of this one. */
	assert_int_equal(pread(x->disk.fd, &now, 1, 5 * 512), 1);
	assert_int_equal(now, 6);
	sem_post(&held_sync.go);
	assert_int_equal(end(&a), -EIO);
	assert_int_equal(end(&b), 0);
	assert_int_equal(pread(x->disk.fd, &now, 1, 5 * 512), 1);
	assert_int_equal(now, 5);
}

/* What was written to standard error since log_begin(). */
struct log {
	int before, file;
	char text[4096];
};

static void log_begin(struct log *log)
{
	log->file = memfd_create("log", MFD_CLOEXEC);
	log->before = dup(STDERR_FILENO);
	assert_true(log->file >= 0 && log->before >= 0);
	dup2(log->file, STDERR_FILENO);
}

static void log_end(struct log *log)
{
	ssize_t n;

	dup2(log->before, STDERR_FILENO);
	n = pread(log->file, log->text, sizeof(log->text) - 1, 0);
	assert_true(n >= 0);
	log->text[n] = '\0';
	close(log->before);
	close(log->file);
}

/* Asserts this one line, of the disk of @x. */
static void log_is(const struct log *log, const struct fixture *x,
		   const char *rest)
{
	char line[256];

	snprintf(line, sizeof(line), "thaw: disk %s: %s\n", x->path, rest);
	assert_string_equal(log->text, line);
}

/*
 * Puts /dev/full in place of the image: no write finds room there, and a sync
 * fails as well.
 */
static void fill_up(struct fixture *x)
{
	int full = open("/dev/full", O_RDWR | O_CLOEXEC);

	assert_true(full >= 0);
	assert_int_equal(dup2(full, x->disk.fd), x->disk.fd);
	close(full);
}

/* A host disk that is full: one line, however often, and all are counted. */
static void test_full(void **state)
{
	struct fixture *x = *state;
	uint8_t a[512] = { 1 };
	struct iovec iov = { a, sizeof(a) };
	struct log log;

	assert_int_equal(disk_open(&x->disk, x->path, false), 0);
	fill_up(x);
	log_begin(&log);
	for (unsigned int i = 0; i < 1000; i++)
		assert_int_equal(disk_writev(&x->disk, &iov, 1, 0), -ENOSPC);
	log_end(&log);
	log_is(&log, x, "write: No space left on device");
	assert_int_equal(disk_errors(&x->disk, DISK_WRITE), 1000);
	assert_int_equal(disk_errors(&x->disk, DISK_READ), 0);
	/*
	 * After the interval there is another line, with the number of errors
	 * since.
	 */
	x->disk.errors[DISK_WRITE].rate.logged_ns = 0;
	log_begin(&log);
	assert_int_equal(disk_writev(&x->disk, &iov, 1, 0), -ENOSPC);
	log_end(&log);
	log_is(&log, x,
	       "write: No space left on device (1000 errors since the last "
	       "message)");
}

/* A sync that fails. */
static void test_flush_fails(void **state)
{
	struct fixture *x = *state;
	struct log log;

	assert_int_equal(disk_open(&x->disk, x->path, false), 0);
	fill_up(x);
	log_begin(&log);
	assert_int_equal(disk_flush(&x->disk, disk_failed_syncs(&x->disk)),
			 -EINVAL);
	assert_int_equal(disk_flush(&x->disk, disk_failed_syncs(&x->disk)),
			 -EINVAL);
	log_end(&log);
	log_is(&log, x, "flush: Invalid argument");
	assert_int_equal(disk_errors(&x->disk, DISK_FLUSH), 2);
}

/* An image truncated after it was opened. */
static void test_truncated(void **state)
{
	struct fixture *x = *state;
	uint8_t a[512];
	struct iovec iov = { a, sizeof(a) };
	struct log log;

	assert_int_equal(disk_open(&x->disk, x->path, false), 0);
	assert_int_equal(truncate(x->path, 4096), 0);
	log_begin(&log);
	assert_int_equal(disk_readv(&x->disk, &iov, 1, 4096), -EIO);
	assert_int_equal(disk_readv(&x->disk, &iov, 1, 4096), -EIO);
	log_end(&log);
	log_is(&log, x, "read: image was truncated after it was opened");
	assert_int_equal(disk_errors(&x->disk, DISK_READ), 2);
}

/* Refusals, and faults in guest memory, are not host errors. */
static void test_no_host_error(void **state)
{
	struct fixture *x = *state;
	struct iovec bad = { (void *)8, 512 };
	uint8_t a[512] = { 0 };
	struct iovec iov = { a, sizeof(a) };
	struct log log;

	assert_int_equal(disk_open(&x->disk, x->path, true), 0);
	log_begin(&log);
	assert_int_equal(disk_writev(&x->disk, &iov, 1, 0), -EROFS);
	assert_int_equal(disk_discard(&x->disk, 0, 512), -EROFS);
	assert_int_equal(disk_readv(&x->disk, &bad, 1, 0), -EFAULT);
	log_end(&log);
	assert_string_equal(log.text, "");
	for (unsigned int op = 0; op < DISK_OPS; op++)
		assert_int_equal(disk_errors(&x->disk, (enum disk_op)op), 0);
}

/* At the end no flush begins, and one that is interrupted is no error of the host. */
static void test_ending(void **state)
{
	struct fixture *x = *state;
	struct background b = { .x = x };
	struct log log;

	assert_int_equal(disk_open(&x->disk, x->path, false), 0);
	log_begin(&log);
	disk_set_ending(&x->disk, true);
	assert_int_equal(disk_flush(&x->disk, 0), -EINTR);
	held_sync.error = EINTR;
	disk_set_ending(&x->disk, false);
	sem_init(&held_sync.entered, 0, 0);
	sem_init(&held_sync.go, 0, 0);
	begin(&b, flush_in_background);
	sem_wait(&held_sync.entered);
	disk_set_ending(&x->disk, true);
	sem_post(&held_sync.go);
	assert_int_equal(end(&b), -EINTR);
	log_end(&log);
	assert_string_equal(log.text, "");
	assert_int_equal(disk_errors(&x->disk, DISK_FLUSH), 0);
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
		TEST("io-disk-blocks", test_blocks),
		TEST("io-disk-transfers", test_transfers),
		TEST("io-disk-read-only", test_read_only),
		TEST("io-disk-zeroes", test_zeroes),
		TEST("io-disk-full", test_full),
		TEST("io-disk-flush-fails", test_flush_fails),
		TEST("io-disk-truncated", test_truncated),
		TEST("io-disk-no-host-error", test_no_host_error),
		TEST("io-disk-sync", test_sync),
		TEST("io-disk-flushes-fail", test_flushes_fail),
		TEST("io-disk-write-through", test_write_through),
		TEST("io-disk-ending", test_ending),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
