// SPDX-License-Identifier: BSD-2-Clause
/*
 * Copies of disks that are in use: what is copied is what the disk had when requests
 * stopped, whatever engine wrote it and however; holes stay holes; and what ends a
 * copy.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/base/capture.h"
#include "tests/unit/io/clone.h"
#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/base/thread.h"
#include "vmm/io/disk.h"
#include "vmm/io/disk_aio.h"
#include "vmm/io/disk_copy.h"

/* The last block of the bitmap is not whole. */
#define DISK_BYTES (6 * MIB + 8 * KIB)
#define BATCH	   16
#define DATA_BYTES (96 * KIB)

struct fixture {
	char path[300], copy_path[300];
	int fd; /* of the copy */
	struct disk disk;
	struct disk_copy copy;
	/* The thread that has the disk changed, as the loop does. */
	struct disk_aio *aio;
	pthread_t thread;
	atomic_bool stop;
	atomic_uint batches;
	struct request {
		struct disk_request rq;
		struct iovec iov;
		unsigned int kind;
	} requests[BATCH];
	uint8_t *data;
	/* The progress: -ECANCELED at this call; 0: never. */
	unsigned int calls, cancel_at;
	uint64_t done, of;
};

static char *temporary(char path[300])
{
	const char *tmp = getenv("TMPDIR");

	snprintf(path, 300, "%s/thaw-copy-XXXXXX", tmp ? tmp : "/tmp");
	return path;
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));
	int fd = mkostemp(temporary(x->path), O_CLOEXEC);

	assert_true(fd >= 0);
	x->data = aligned_alloc(4096, DATA_BYTES);
	for (unsigned int i = 0; i < DATA_BYTES; i++)
		x->data[i] = (uint8_t)(i / 512 + i);
	for (uint64_t at = 0; at < DISK_BYTES; at += 64 * KIB)
		if (at / (512 * KIB) % 3)
			assert_int_equal(pwrite(fd, x->data,
						min_u64(DISK_BYTES - at,
							64 * KIB),
						(off_t)at),
					 min_u64(DISK_BYTES - at, 64 * KIB));
	assert_int_equal(ftruncate(fd, DISK_BYTES), 0);
	close(fd);
	x->fd = mkostemp(temporary(x->copy_path), O_CLOEXEC);
	assert_true(x->fd >= 0);
	clones = CLONES_NONE;
	clone_calls = clone_error = 0;
	assert_int_equal(disk_open(&x->disk, x->path, false), 0);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	disk_close(&x->disk);
	close(x->fd);
	unlink(x->path);
	unlink(x->copy_path);
	free(x->data);
	free(x);
	return 0;
}

static int report(void *ctx, uint64_t done, uint64_t of)
{
	struct fixture *x = ctx;

	assert_true(done <= of);
	x->done = done;
	x->of = of;
	return ++x->calls == x->cancel_at ? -ECANCELED : 0;
}

static struct disk_copy_progress progress_of(struct fixture *x)
{
	return (struct disk_copy_progress){ report, x, NULL };
}

/* The copy is what the disk is now. */
static void check_copy(struct fixture *x)
{
	uint8_t *want = malloc(DISK_BYTES), *got = malloc(DISK_BYTES);
	struct stat st;

	assert_int_equal(disk_peek(&x->disk, want, DISK_BYTES, 0), 0);
	assert_int_equal(fstat(x->fd, &st), 0);
	assert_int_equal(st.st_size, DISK_BYTES);
	assert_int_equal(pread(x->fd, got, DISK_BYTES, 0), DISK_BYTES);
	assert_memory_equal(got, want, DISK_BYTES);
	free(want);
	free(got);
}

/* A change other than a write, on a thread of the disk. */
static int call_change(struct disk *disk, struct disk_request *rq)
{
	struct request *r = container_of(rq, struct request, rq);
	uint64_t at = align_down(rq->offset, 4096);

	switch (r->kind) {
	case 0:
		return disk_discard(disk, at, r->iov.iov_len);
	case 1:
		return disk_write_zeroes(disk, at, r->iov.iov_len, true);
	case 2:
		return disk_write_zeroes(disk, at, 512 * 8, false);
	default:
		return disk_write_through(disk, &r->iov, 1, rq->offset);
	}
}

/* Submits changes at random places, and waits for them. */
static void change(struct fixture *x, unsigned int *seed)
{
	for (unsigned int i = 0; i < BATCH; i++) {
		struct request *r = &x->requests[i];
		uint64_t most = x->disk.block_bytes == 512 ? 512 : 4096;
		uint64_t at = (uint64_t)rand_r(seed) % (DISK_BYTES / most);
		uint64_t n = (uint64_t)rand_r(seed) % (DATA_BYTES / most) + 1;
		bool call = rand_r(seed) % 4 == 0;

		n = min_u64(n, DISK_BYTES / most - at);
		r->kind = (unsigned int)rand_r(seed) % 4;
		r->iov = (struct iovec){ x->data, n * most };
		r->rq = (struct disk_request){
			.kind = call ? DISK_REQUEST_CALL : DISK_REQUEST_WRITE,
			.iov = &r->iov,
			.count = 1,
			.offset = at * most,
			.bytes = n * most,
			.call = call_change,
		};
	}
	/* Contents that were not there before, with zeros between. */
	for (unsigned int i = 0; i < DATA_BYTES; i += 8)
		x->data[i] = (uint8_t)(i / 8192 % 2 ? rand_r(seed) : 0);
	for (unsigned int i = 0; i < BATCH; i++)
		disk_aio_submit(x->aio, &x->requests[i].rq);
	assert_int_equal(disk_aio_wait(x->aio, 60 * NS_PER_S), 0);
	for (struct disk_request *rq = disk_aio_collect(x->aio); rq;
	     rq = rq->next)
		assert_int_equal(rq->result, 0);
}

static void *change_until_stopped(void *arg)
{
	struct fixture *x = arg;
	unsigned int seed = 11;

	while (!atomic_load(&x->stop)) {
		change(x, &seed);
		atomic_fetch_add(&x->batches, 1);
		usleep(500);
	}
	return NULL;
}

static void start_changes(struct fixture *x)
{
	unsigned int now = atomic_load(&x->batches);

	atomic_store(&x->stop, false);
	assert_int_equal(thread_start(&x->thread, "test", change_until_stopped,
				      x),
			 0);
	while (atomic_load(&x->batches) == now)
		usleep(100);
}

/* Copies the disk while it is changed; the bytes that changed meanwhile. */
static uint64_t copy_live(struct fixture *x)
{
	const struct disk_copy_progress progress = progress_of(x);
	uint64_t left;

	start_changes(x);
	assert_int_equal(disk_copy_begin(&x->copy, &x->disk, x->fd), 0);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(disk_copy_pass(&x->copy, &progress), 0);
	usleep(2000);
	atomic_store(&x->stop, true);
	pthread_join(x->thread, NULL);
	left = disk_copy_left_bytes(&x->copy);
	assert_int_equal(disk_copy_cut(&x->copy, &progress), 0);
	assert_int_equal(disk_copy_left_bytes(&x->copy), 0);
	disk_copy_end(&x->copy);
	check_copy(x);
	return left;
}

/* Several copies of one disk by one engine. */
static void copy_by(struct fixture *x, enum disk_aio_kind kind)
{
	uint64_t left = 0;

	x->disk.aio = kind;
	assert_int_equal(disk_aio_create(&x->aio, &x->disk), 0);
	for (unsigned int i = 0; i < 10; i++) {
		assert_int_equal(ftruncate(x->fd, 0), 0);
		left += copy_live(x);
	}
	disk_aio_destroy(x->aio);
	assert_true(left > 0);
}

static void test_live(void **state)
{
	copy_by(*state, DISK_AIO_AUTO);
}

static void test_live_threads(void **state)
{
	copy_by(*state, DISK_AIO_THREADS);
}

static void test_live_direct(void **state)
{
	struct fixture *x = *state;

	if (disk_set_direct(&x->disk) < 0)
		skip();
	copy_by(x, DISK_AIO_AUTO);
}

/* A disk that is an overlay: what is in it is what is copied. */
static void test_live_overlay(void **state)
{
	struct fixture *x = *state;
	int base = open(x->path, O_RDONLY | O_CLOEXEC);

	disk_close(&x->disk);
	assert_int_equal(disk_open_private(&x->disk, base, AT_FDCWD, DISK_BYTES,
					   x->path),
			 0);
	assert_non_null(x->disk.overlay);
	copy_by(x, DISK_AIO_AUTO);
}

/* A clone is made at the cut, whatever came before. */
static void test_clone(void **state)
{
	struct fixture *x = *state;
	const struct disk_copy_progress progress = progress_of(x);
	uint8_t data[512] = { 77 };
	struct iovec iov = { data, sizeof(data) };

	clones = CLONES_COPIED;
	/* The tail of a file that is no whole sector is no part of the disk. */
	assert_int_equal(truncate(x->path, DISK_BYTES + 100), 0);
	assert_int_equal(disk_copy_begin(&x->copy, &x->disk, x->fd), 0);
	assert_true(x->copy.clones);
	assert_int_equal(disk_copy_pass(&x->copy, &progress), 0);
	assert_int_equal(x->calls, 0);
	assert_int_equal(disk_copy_left_bytes(&x->copy), 0);
	assert_int_equal(disk_writev(&x->disk, &iov, 1, 5 * 512), 0);
	assert_int_equal(disk_copy_cut(&x->copy, &progress), 0);
	disk_copy_end(&x->copy);
	assert_int_equal(clone_calls, 2);
	check_copy(x);
	/* And it fails there. */
	assert_int_equal(disk_copy_begin(&x->copy, &x->disk, x->fd), 0);
	clone_error = ENOSPC;
	assert_int_equal(disk_copy_cut(&x->copy, &progress), -ENOSPC);
	disk_copy_end(&x->copy);
}

/* The kernel's own, where $TMPDIR has it. */
static void test_real_clone(void **state)
{
	struct fixture *x = *state;
	const struct disk_copy_progress progress = progress_of(x);
	uint8_t data[512] = { 78 };
	struct iovec iov = { data, sizeof(data) };

	clones = CLONES_REAL;
	assert_int_equal(disk_copy_begin(&x->copy, &x->disk, x->fd), 0);
	if (!x->copy.clones) {
		disk_copy_end(&x->copy);
		skip();
	}
	assert_int_equal(disk_writev(&x->disk, &iov, 1, 5 * 512), 0);
	assert_int_equal(disk_copy_cut(&x->copy, &progress), 0);
	disk_copy_end(&x->copy);
	check_copy(x);
	/* Later writes are not in it. */
	data[0] = 79;
	assert_int_equal(disk_writev(&x->disk, &iov, 1, 5 * 512), 0);
	assert_int_equal(pread(x->fd, data, 1, 5 * 512), 1);
	assert_int_equal(data[0], 78);
}

/* Holes are not written, nor are zeros. */
static void test_holes(void **state)
{
	struct fixture *x = *state;
	const struct disk_copy_progress progress = progress_of(x);
	struct stat st;

	assert_int_equal(disk_write_zeroes(&x->disk, 0, DISK_BYTES, true), 0);
	x->data[0] = 1;
	assert_int_equal(pwrite(x->disk.fd, x->data, 4096, MIB), 4096);
	memset(x->data, 0, 64 * KIB);
	assert_int_equal(pwrite(x->disk.fd, x->data, 64 * KIB, 3 * MIB),
			 64 * KIB);
	assert_int_equal(disk_copy_begin(&x->copy, &x->disk, x->fd), 0);
	assert_int_equal(disk_copy_pass(&x->copy, &progress), 0);
	/* What becomes zero is a hole again. */
	x->data[1] = 1;
	assert_int_equal(disk_copy_cut(&x->copy, &progress), 0);
	disk_copy_end(&x->copy);
	assert_int_equal(fstat(x->fd, &st), 0);
	assert_true(st.st_blocks * 512 <= 16 * 4096);
	check_copy(x);
}

static void test_cancel(void **state)
{
	struct fixture *x = *state;
	const struct disk_copy_progress progress = progress_of(x);

	assert_int_equal(disk_copy_begin(&x->copy, &x->disk, x->fd), 0);
	x->cancel_at = 3;
	assert_int_equal(disk_copy_pass(&x->copy, &progress), -ECANCELED);
	assert_int_equal(x->calls, 3);
	assert_true(x->done > 0 && x->done < x->of);
	disk_copy_end(&x->copy);
	/* The next one is as good as if there had been none. */
	assert_int_equal(ftruncate(x->fd, 0), 0);
	assert_int_equal(disk_copy_begin(&x->copy, &x->disk, x->fd), 0);
	assert_int_equal(disk_copy_cut(&x->copy, &progress), 0);
	disk_copy_end(&x->copy);
	check_copy(x);
}

/* No room for the copy; and a disk that cannot be read: a line each. */
static void test_errors(void **state)
{
	struct fixture *x = *state;
	const struct disk_copy_progress progress = progress_of(x);
	int full = open("/dev/full", O_RDWR | O_CLOEXEC);
	struct capture capture;
	char line[700];
	int r;

	assert_int_equal(disk_copy_begin(&x->copy, &x->disk, x->fd), 0);
	assert_int_equal(dup2(full, x->fd), x->fd);
	capture_start(&capture, STDERR_FILENO);
	r = disk_copy_pass(&x->copy, &progress);
	snprintf(line, sizeof(line),
		 "thaw: snapshot: copy of disk %s: No space left on device\n",
		 x->path);
	assert_string_equal(capture_end(&capture), line);
	assert_int_equal(r, -ENOSPC);
	disk_copy_end(&x->copy);
	close(full);
	close(x->fd);
	x->fd = open(x->copy_path, O_RDWR | O_CLOEXEC);
	assert_int_equal(disk_copy_begin(&x->copy, &x->disk, x->fd), 0);
	x->disk.size_bytes += MIB;
	x->copy.begun = false;
	capture_start(&capture, STDERR_FILENO);
	atomic_fetch_or(&x->disk.changes.bits[1], UINT64_C(1) << 33);
	x->copy.begun = true;
	r = disk_copy_pass(&x->copy, &progress);
	snprintf(line, sizeof(line),
		 "thaw: snapshot: read disk %s: Input/output error\n", x->path);
	assert_string_equal(capture_end(&capture), line);
	assert_int_equal(r, -EIO);
	/* It is no error of the guest's. */
	assert_int_equal(disk_errors(&x->disk, DISK_READ), 0);
	disk_copy_end(&x->copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_live, setup, teardown),
		cmocka_unit_test_setup_teardown(test_live_threads, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_live_direct, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_live_overlay, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_clone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_real_clone, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_holes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
