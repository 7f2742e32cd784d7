// SPDX-License-Identifier: BSD-2-Clause
/*
 * Requests in the background, by each engine: in parallel, in any order, with
 * errors, with O_DIRECT; waiting for them, and the end.  AUTO is io_uring where the
 * host has it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/base/capture.h"
#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/base/event.h"
#include "vmm/base/thread.h"
#include "vmm/io/disk.h"
#include "vmm/io/disk_aio.h"

#define DISK_BYTES (4 * MIB)
#define BLOCK	   4096
#define BLOCKS	   (DISK_BYTES / BLOCK)
#define REQUESTS   200
#define PLENTY_NS  (60 * NS_PER_S)

struct fixture {
	char path[64];
	char loop[64]; /* "": none */
	struct disk disk;
	struct disk_aio *aio;
	struct request {
		struct disk_request rq;
		struct iovec iov;
		struct fixture *x;
	} requests[REQUESTS];
	uint8_t *data; /* REQUESTS of BLOCK */
	sem_t go; /* call_wait() ends */
	pthread_barrier_t meeting;
	atomic_uint calls;
};

static const enum disk_aio_kind automatic = DISK_AIO_AUTO;
static const enum disk_aio_kind threads = DISK_AIO_THREADS;

/* The byte of the image at @at. */
static uint8_t byte_of(uint64_t at)
{
	return (uint8_t)(at / 512 * 7 + at);
}

static int setup(void **state)
{
	const enum disk_aio_kind *kind = *state;
	struct fixture *x = calloc(1, sizeof(*x));
	FILE *file;

	strcpy(x->path, "/tmp/thaw-aio-XXXXXX");
	file = fdopen(mkstemp(x->path), "w");
	assert_non_null(file);
	for (unsigned int i = 0; i < DISK_BYTES; i++)
		fputc(byte_of(i), file);
	fclose(file);
	x->data = aligned_alloc(BLOCK, REQUESTS * BLOCK);
	memset(x->data, 0, REQUESTS * BLOCK);
	sem_init(&x->go, 0, 0);
	assert_int_equal(disk_open(&x->disk, x->path, false), 0);
	x->disk.aio = *kind;
	assert_int_equal(disk_aio_create(&x->aio, &x->disk), 0);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;
	char command[96];

	disk_aio_destroy(x->aio);
	disk_aio_destroy(NULL);
	disk_close(&x->disk);
	if (x->loop[0]) {
		snprintf(command, sizeof(command), "losetup -d %s", x->loop);
		assert_int_equal(system(command), 0);
	}
	unlink(x->path);
	sem_destroy(&x->go);
	free(x->data);
	free(x);
	return 0;
}

/* The buffer of request @i. */
static uint8_t *data(struct fixture *x, unsigned int i)
{
	return x->data + (size_t)i * BLOCK;
}

/* Submits request @i: @len bytes of its buffer, from @skip on. */
static void transfer(struct fixture *x, unsigned int i,
		     enum disk_request_kind kind, uint64_t offset, size_t skip,
		     size_t len)
{
	struct request *r = &x->requests[i];

	r->iov = (struct iovec){ data(x, i) + skip, len };
	r->rq = (struct disk_request){ .kind = kind,
				       .iov = &r->iov,
				       .count = 1,
				       .offset = offset,
				       .bytes = len,
				       .result = 1 };
	disk_aio_submit(x->aio, &r->rq);
}

static void call(struct fixture *x, unsigned int i,
		 int (*function)(struct disk *disk, struct disk_request *rq))
{
	struct request *r = &x->requests[i];

	r->x = x;
	r->rq = (struct disk_request){ .kind = DISK_REQUEST_CALL,
				       .call = function,
				       .result = 1 };
	disk_aio_submit(x->aio, &r->rq);
}

static int call_wait(struct disk *disk, struct disk_request *rq)
{
	struct fixture *x = container_of(rq, struct request, rq)->x;

	(void)disk;
	sem_wait(&x->go);
	atomic_fetch_add(&x->calls, 1);
	return 17;
}

static int call_meet(struct disk *disk, struct disk_request *rq)
{
	struct fixture *x = container_of(rq, struct request, rq)->x;

	(void)disk;
	pthread_barrier_wait(&x->meeting);
	return 0;
}

static int call_flush(struct disk *disk, struct disk_request *rq)
{
	(void)rq;
	return disk_flush(disk, disk_failed_syncs(disk));
}

/* Collects, with a wait for the descriptor, until @count have come. */
static void collect(struct fixture *x, unsigned int count,
		    const struct disk_request **first)
{
	struct pollfd fd = { .fd = disk_aio_fd(x->aio), .events = POLLIN };
	struct disk_request *rq;

	disk_aio_start(x->aio);
	for (unsigned int seen = 0; seen < count;) {
		for (rq = disk_aio_collect(x->aio); rq; rq = rq->next) {
			if (seen++ == 0 && first)
				*first = rq;
		}
		assert_true(seen <= count);
		if (seen == count)
			break;
		assert_int_equal(poll(&fd, 1, 60000), 1);
		event_clear(fd.fd);
	}
}

/* Many at a time, and each gets its own bytes. */
static void test_parallel(void **state)
{
	struct fixture *x = *state;

	for (unsigned int round = 0; round < 20; round++) {
		for (unsigned int i = 0; i < REQUESTS; i++) {
			memset(data(x, i), (int)(round + i), BLOCK);
			transfer(x, i, DISK_REQUEST_WRITE, i * BLOCK, 0, BLOCK);
		}
		collect(x, REQUESTS, NULL);
		memset(x->data, 0, REQUESTS * BLOCK);
		for (unsigned int i = 0; i < REQUESTS; i++)
			transfer(x, i, DISK_REQUEST_READ, i * BLOCK, 0, BLOCK);
		collect(x, REQUESTS, NULL);
		for (unsigned int i = 0; i < REQUESTS; i++) {
			assert_int_equal(x->requests[i].rq.result, 0);
			for (unsigned int b = 0; b < BLOCK; b++)
				assert_int_equal(data(x, i)[b],
						 (uint8_t)(round + i));
		}
	}
	assert_null(disk_aio_collect(x->aio));
}

/* Reads that the host's page cache does not hold, long and short ones. */
static void test_uncached(void **state)
{
	struct fixture *x = *state;
	const size_t len = (size_t)BLOCK * REQUESTS / 2;

	for (unsigned int round = 0; round < 2; round++) {
		fdatasync(x->disk.fd);
		posix_fadvise(x->disk.fd, 0, 0, POSIX_FADV_DONTNEED);
		posix_fadvise(x->disk.fd, 0, 0, POSIX_FADV_RANDOM);
		memset(x->data, 0, 2 * len);
		if (round == 0)
			transfer(x, 0, DISK_REQUEST_READ, BLOCK, 0, len);
		else
			transfer(x, 0, DISK_REQUEST_READ, BLOCK, 0, 1024);
		collect(x, 1, NULL);
		assert_int_equal(x->requests[0].rq.result, 0);
		for (size_t i = 0; i < x->requests[0].rq.bytes; i++)
			assert_int_equal(x->data[i], byte_of(BLOCK + i));
	}
}

/* A slow request delays no other, and completes last. */
static void test_out_of_order(void **state)
{
	struct fixture *x = *state;
	const struct disk_request *first = NULL;

	call(x, 0, call_wait);
	for (unsigned int i = 1; i < 10; i++)
		transfer(x, i, DISK_REQUEST_WRITE, i * BLOCK, 0, BLOCK);
	collect(x, 9, NULL);
	/* A flush does not wait for it either. */
	call(x, 10, call_flush);
	collect(x, 1, &first);
	assert_ptr_equal(first, &x->requests[10].rq);
	assert_int_equal(first->result, 0);
	sem_post(&x->go);
	collect(x, 1, &first);
	assert_ptr_equal(first, &x->requests[0].rq);
	assert_int_equal(first->result, 17);
}

/* Calls run in parallel. */
static void test_calls_meet(void **state)
{
	struct fixture *x = *state;

	pthread_barrier_init(&x->meeting, NULL, 8);
	for (unsigned int i = 0; i < 8; i++)
		call(x, i, call_meet);
	collect(x, 8, NULL);
	pthread_barrier_destroy(&x->meeting);
}

/* A wait has a bound; after it, all goes on. */
static void test_wait(void **state)
{
	struct fixture *x = *state;
	struct pollfd fd = { .fd = disk_aio_fd(x->aio), .events = POLLIN };

	assert_int_equal(disk_aio_wait(x->aio, 0), 0);
	call(x, 0, call_wait);
	for (unsigned int i = 1; i < 5; i++)
		transfer(x, i, DISK_REQUEST_WRITE, i * BLOCK, 0, BLOCK);
	assert_int_equal(disk_aio_wait(x->aio, NS_PER_S / 10), -ETIMEDOUT);
	/* What was completed meanwhile is announced. */
	assert_int_equal(poll(&fd, 1, 60000), 1);
	collect(x, 4, NULL);
	transfer(x, 1, DISK_REQUEST_READ, BLOCK, 0, BLOCK);
	collect(x, 1, NULL);
	sem_post(&x->go);
	assert_int_equal(disk_aio_wait(x->aio, PLENTY_NS), 0);
	assert_ptr_equal(disk_aio_collect(x->aio), &x->requests[0].rq);
}

static void *post_later(void *ctx)
{
	struct fixture *x = ctx;

	usleep(100000);
	for (unsigned int i = 0; i < REQUESTS; i++)
		sem_post(&x->go);
	return NULL;
}

/* The end waits for what runs, and drops what has not begun. */
static void test_destroy(void **state)
{
	struct fixture *x = *state;
	unsigned int calls;
	pthread_t thread;

	for (unsigned int i = 0; i < REQUESTS / 2; i++)
		call(x, i, call_wait);
	for (unsigned int i = REQUESTS / 2; i < REQUESTS; i++)
		transfer(x, i, DISK_REQUEST_WRITE, i * BLOCK, 0, BLOCK);
	disk_aio_start(x->aio);
	assert_int_equal(thread_start(&thread, "later", post_later, x), 0);
	disk_aio_destroy(x->aio);
	x->aio = NULL;
	calls = atomic_load(&x->calls);
	assert_in_range(calls, 0, REQUESTS / 2 - 1);
	pthread_join(thread, NULL);
	assert_int_equal(atomic_load(&x->calls), calls);
}

/* Errors are the operation's own, counted and logged once. */
static void test_errors(void **state)
{
	struct fixture *x = *state;
	struct capture capture;
	int full = open("/dev/full", O_RDWR | O_CLOEXEC);
	char line[128];

	assert_int_equal(truncate(x->path, BLOCK + 512), 0);
	capture_start(&capture, STDERR_FILENO);
	for (unsigned int i = 0; i < 20; i++)
		transfer(x, i, DISK_REQUEST_READ, BLOCK, 0, BLOCK);
	collect(x, 20, NULL);
	snprintf(line, sizeof(line),
		 "thaw: disk %s: read: image was truncated after it was "
		 "opened\n",
		 x->path);
	assert_string_equal(capture_end(&capture), line);
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(x->requests[i].rq.result, -EIO);
	assert_int_equal(disk_errors(&x->disk, DISK_READ), 20);
	assert_true(full >= 0);
	assert_int_equal(dup2(full, x->disk.fd), x->disk.fd);
	close(full);
	capture_start(&capture, STDERR_FILENO);
	for (unsigned int i = 0; i < 20; i++)
		transfer(x, i, DISK_REQUEST_WRITE, 0, 0, BLOCK);
	call(x, 20, call_flush);
	collect(x, 21, NULL);
	assert_non_null(strstr(capture_end(&capture),
			       ": write: No space left on device\n"));
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(x->requests[i].rq.result, -ENOSPC);
	assert_int_equal(x->requests[20].rq.result, -EINVAL);
	assert_int_equal(disk_errors(&x->disk, DISK_WRITE), 20);
	assert_int_equal(disk_errors(&x->disk, DISK_FLUSH), 1);
}

/* A read-only disk is not written to. */
static void test_read_only(void **state)
{
	struct fixture *x = *state;

	x->disk.read_only = true;
	transfer(x, 0, DISK_REQUEST_WRITE, 0, 0, BLOCK);
	collect(x, 1, NULL);
	assert_int_equal(x->requests[0].rq.result, -EROFS);
}

/* The error of a failed sync reaches the flushes that are in flight, and only those. */
static void test_saved_error(void **state)
{
	struct fixture *x = *state;
	unsigned int failed = 0;
	int pipe_fds[2], image = dup(x->disk.fd);

	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(dup2(pipe_fds[0], x->disk.fd), x->disk.fd);
	assert_int_equal(disk_sync(&x->disk), -EINVAL);
	assert_int_equal(dup2(image, x->disk.fd), x->disk.fd);
	for (unsigned int i = 0; i < 20; i++)
		call(x, i, call_flush);
	collect(x, 20, NULL);
	for (unsigned int i = 0; i < 20; i++)
		failed += x->requests[i].rq.result == -EINVAL;
	assert_in_range(failed, 1, 20);
	call(x, 0, call_flush);
	collect(x, 1, NULL);
	assert_int_equal(x->requests[0].rq.result, 0);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	close(image);
}

/* O_DIRECT with buffers, offsets and lengths of any kind. */
static void test_direct(void **state)
{
	static const size_t skips[] = { 0, 512, 1, 513 };
	static const uint64_t offsets[] = { 0, 512, 5 * 512,
					    DISK_BYTES - 1536 };
	struct fixture *x = *state;
	unsigned int n = 0;

	disk_aio_destroy(x->aio);
	x->aio = NULL;
	if (disk_set_direct(&x->disk) < 0)
		skip();
	assert_int_equal(disk_aio_create(&x->aio, &x->disk), 0);
	for (size_t s = 0; s < ARRAY_SIZE(skips); s++)
		for (size_t o = 0; o < ARRAY_SIZE(offsets); o++)
			transfer(x, n++, DISK_REQUEST_READ, offsets[o],
				 skips[s], 1536);
	collect(x, n, NULL);
	for (unsigned int i = 0; i < n; i++) {
		size_t skip = skips[i / 4];

		assert_int_equal(x->requests[i].rq.result, 0);
		for (size_t b = 0; b < 1536; b++)
			assert_int_equal(data(x, i)[skip + b],
					 byte_of(offsets[i % 4] + b));
		assert_int_equal(data(x, i)[skip + 1536], 0);
	}
	/* Writes of each kind, then all of it. */
	for (unsigned int i = 0; i < n; i++) {
		uint64_t offset = i * 8 * 1536 + offsets[i % 3];

		memset(data(x, i), (int)i + 1, BLOCK);
		transfer(x, i, DISK_REQUEST_WRITE, offset, skips[i / 4], 1536);
	}
	collect(x, n, NULL);
	for (unsigned int i = 0; i < n; i++) {
		uint64_t offset = i * 8 * 1536 + offsets[i % 3];

		assert_int_equal(x->requests[i].rq.result, 0);
		memset(data(x, i), 0, BLOCK);
		transfer(x, i, DISK_REQUEST_READ, offset, 0, 2048);
		collect(x, 1, NULL);
		for (size_t b = 0; b < 2048; b++)
			assert_int_equal(data(x, i)[b],
					 b < 1536 ? (uint8_t)(i + 1) :
						    byte_of(offset + b));
	}
	/* More than one copy, in pieces that are not aligned. */
	x->requests[0].rq.count = 1;
	memset(x->data, 0, REQUESTS * BLOCK);
	transfer(x, 0, DISK_REQUEST_READ, 2 * MIB, 3, BLOCK * (REQUESTS - 1));
	collect(x, 1, NULL);
	for (size_t b = 0; b < BLOCK * (REQUESTS - 1); b++)
		assert_int_equal(x->data[3 + b], byte_of(2 * MIB + b));
}

/* Opens the disk of the fixture anew, at @path, with O_DIRECT. */
static int reopen_direct(struct fixture *x, const char *path)
{
	enum disk_aio_kind kind = x->disk.aio;
	int err;

	disk_aio_destroy(x->aio);
	x->aio = NULL;
	disk_close(&x->disk);
	assert_int_equal(disk_open(&x->disk, path, false), 0);
	x->disk.aio = kind;
	err = disk_set_direct(&x->disk);
	if (err == 0)
		assert_int_equal(disk_aio_create(&x->aio, &x->disk), 0);
	return err;
}

/* Whether statx(2) tells the alignment of a device; qemu-user loses it. */
static bool tells_alignment(const char *path)
{
#ifdef STATX_DIOALIGN
	struct statx st;

	assert_int_equal(statx(AT_FDCWD, path, 0, STATX_DIOALIGN, &st), 0);
	if ((st.stx_mask & STATX_DIOALIGN) && !st.stx_dio_mem_align) {
		print_message("# no alignment of %s by statx(2)\n", path);
		return false;
	}
#else
	(void)path;
#endif
	return true;
}

/* A loop device over the image with blocks of that size; false: there is none. */
static bool make_loop(struct fixture *x, unsigned int block_bytes)
{
	char command[160];
	FILE *out;

	snprintf(command, sizeof(command),
		 "losetup --find --show -b %u %s 2>/dev/null", block_bytes,
		 x->path);
	out = popen(command, "r");
	if (!out || !fgets(x->loop, sizeof(x->loop), out))
		x->loop[0] = '\0';
	if (out)
		pclose(out);
	x->loop[strcspn(x->loop, "\n")] = '\0';
	if (!x->loop[0])
		print_message("# no loop device with blocks of %u bytes\n",
			      block_bytes);
	return x->loop[0] && tells_alignment(x->loop);
}

/* Larger blocks of the host: whole ones are transferred, parts are not. */
static void test_large_blocks(void **state)
{
	struct fixture *x = *state;

	if (!make_loop(x, 4096))
		skip();
	assert_int_equal(reopen_direct(x, x->loop), 0);
	assert_int_equal(x->disk.block_bytes, 4096);
	assert_int_equal(x->disk.discard_bytes, 4096);
	memset(data(x, 0), 0x5a, BLOCK);
	transfer(x, 0, DISK_REQUEST_WRITE, 8192, 0, BLOCK);
	collect(x, 1, NULL);
	assert_int_equal(x->requests[0].rq.result, 0);
	transfer(x, 1, DISK_REQUEST_READ, 8192, 0, BLOCK);
	transfer(x, 2, DISK_REQUEST_READ, 512, 0, 512);
	transfer(x, 3, DISK_REQUEST_WRITE, 4096, 0, 512);
	collect(x, 3, NULL);
	assert_int_equal(x->requests[1].rq.result, 0);
	assert_memory_equal(data(x, 1), data(x, 0), BLOCK);
	assert_int_equal(x->requests[2].rq.result, -EINVAL);
	assert_int_equal(x->requests[3].rq.result, -EINVAL);
}

/* The start of the disk is zero from @from to @to, and else as at first. */
static void check_zeros(struct fixture *x, uint64_t from, uint64_t to)
{
	struct iovec iov = { x->data, 4 * BLOCK };

	assert_int_equal(disk_readv(&x->disk, &iov, 1, 0), 0);
	for (uint64_t i = 0; i < iov.iov_len; i++)
		assert_int_equal(x->data[i],
				 i >= from && i < to ? 0 : byte_of(i));
}

/* Discards and zeroing of parts of a device's blocks, which it refuses. */
static void test_parts_of_blocks(void **state)
{
	struct fixture *x = *state;

	if (!make_loop(x, 4096))
		skip();
	disk_aio_destroy(x->aio);
	x->aio = NULL;
	disk_close(&x->disk);
	assert_int_equal(disk_open(&x->disk, x->loop, false), 0);
	assert_int_equal(x->disk.block_bytes, 512);
	assert_int_equal(disk_discard(&x->disk, 512, 1024), 0);
	assert_int_equal(disk_discard(&x->disk, 512, 4096), 0);
	check_zeros(x, 0, 0);
	assert_int_equal(disk_write_zeroes(&x->disk, 512, 1024, true), 0);
	check_zeros(x, 512, 1536);
	assert_int_equal(disk_write_zeroes(&x->disk, 1536, 4096, false), 0);
	check_zeros(x, 512, 5632);
	assert_int_equal(disk_discard(&x->disk, 5632, 3072), 0);
	check_zeros(x, 512, 5632);
	assert_int_equal(disk_write_zeroes(&x->disk, 4096, 4096, true), 0);
	check_zeros(x, 512, 8192);
	assert_int_equal(disk_errors(&x->disk, DISK_DISCARD), 0);
	assert_int_equal(disk_errors(&x->disk, DISK_WRITE), 0);
}

/* What is refused; also where no such device can be made. */
static void test_block_size(void **state)
{
	struct direct direct = { .fd = -1, .block_bytes = 4096 };
	struct capture capture;

	(void)state;
	assert_int_equal(direct_check(&direct, "/x", 8192), 0);
	capture_start(&capture, STDERR_FILENO);
	assert_int_equal(direct_check(&direct, "/x", 8192 + 512), -EOPNOTSUPP);
	assert_string_equal(capture_end(&capture),
			    "thaw: disk /x: direct: its size is not a multiple "
			    "of the host's block size of 4096 bytes; omit "
			    "direct\n");
	direct.block_bytes = 8192;
	capture_start(&capture, STDERR_FILENO);
	assert_int_equal(direct_check(&direct, "/x", 8192), -EOPNOTSUPP);
	assert_non_null(strstr(capture_end(&capture), "8192 bytes"));
}

/* With O_DIRECT a part of a sector is an error, not a use of the page cache. */
static void test_part_of_sector(void **state)
{
	struct fixture *x = *state;

	if (reopen_direct(x, x->path) < 0)
		skip();
	if (x->disk.direct.block_bytes < 512)
		skip(); /* this file system accepts it */
	transfer(x, 0, DISK_REQUEST_READ, 100, 0, 100);
	collect(x, 1, NULL);
	assert_int_equal(x->requests[0].rq.result, -EINVAL);
}

/*
 * Whole pages, sectors and unaligned buffers in parallel, each in a page of its own:
 * every read sees the last write there, on a block device too.
 */
static void mixed_sizes(struct fixture *x)
{
	static const struct {
		uint64_t offset;
		size_t skip, len;
	} kinds[] = {
		{ 0, 0, BLOCK },       { 512, 0, 512 },	 { 1024, 512, 1024 },
		{ 0, 8, BLOCK - 512 }, { 3584, 0, 512 },
	};

	for (unsigned int round = 0; round < 40; round++) {
		for (unsigned int i = 0; i < REQUESTS; i++) {
			unsigned int k = (i + round) % ARRAY_SIZE(kinds);

			memset(data(x, i), (int)(round + i), BLOCK);
			transfer(x, i, DISK_REQUEST_WRITE,
				 i * BLOCK + kinds[k].offset, kinds[k].skip,
				 kinds[k].len);
		}
		collect(x, REQUESTS, NULL);
		memset(x->data, 0, REQUESTS * BLOCK);
		for (unsigned int i = 0; i < REQUESTS; i++) {
			unsigned int k = (i + round) % ARRAY_SIZE(kinds);

			transfer(x, i, DISK_REQUEST_READ,
				 i * BLOCK + kinds[k].offset, kinds[k].skip,
				 kinds[k].len);
		}
		collect(x, REQUESTS, NULL);
		for (unsigned int i = 0; i < REQUESTS; i++) {
			unsigned int k = (i + round) % ARRAY_SIZE(kinds);

			assert_int_equal(x->requests[i].rq.result, 0);
			for (size_t b = 0; b < kinds[k].len; b++)
				assert_int_equal(data(x, i)[kinds[k].skip + b],
						 (uint8_t)(round + i));
		}
	}
}

static void test_mixed_file(void **state)
{
	struct fixture *x = *state;

	if (reopen_direct(x, x->path) < 0)
		skip();
	mixed_sizes(x);
}

static void test_mixed_device(void **state)
{
	struct fixture *x = *state;

	if (!make_loop(x, 512))
		skip();
	assert_int_equal(reopen_direct(x, x->loop), 0);
	mixed_sizes(x);
}

/* Makes the system call fail in this process. */
static void forbid(unsigned int number)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = { ARRAY_SIZE(code), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
		_exit(77);
}

/* In a child: a number that says what is wrong; 0: nothing is. */
static int without_io_uring(struct fixture *x, unsigned int number)
{
	struct capture capture;
	struct disk_aio *aio;
	const char *text;
	char line[256];
	int r;

	forbid(number);
	x->disk.aio = DISK_AIO_URING;
	capture_start(&capture, STDERR_FILENO);
	r = disk_aio_create(&aio, &x->disk);
	text = capture_end(&capture);
	if (r != -EPERM && r != -ENOSYS)
		return 1;
	snprintf(line, sizeof(line),
		 "thaw: disk %s: aio=io_uring is unavailable (use "
		 "aio=threads): %s\n",
		 x->path, strerror(-r));
	if (strcmp(text, line))
		return 2;
	x->disk.aio = DISK_AIO_AUTO;
	capture_start(&capture, STDERR_FILENO);
	r = disk_aio_create(&x->aio, &x->disk);
	if (r < 0 || *capture_end(&capture))
		return 3;
	transfer(x, 0, DISK_REQUEST_WRITE, BLOCK, 0, BLOCK);
	if (disk_aio_wait(x->aio, PLENTY_NS) < 0 ||
	    disk_aio_collect(x->aio) != &x->requests[0].rq)
		return 4;
	disk_aio_destroy(x->aio);
	return x->requests[0].rq.result == 0 ? 0 : 5;
}

/* In a child, likewise: io_uring is forbidden while requests are in it. */
static int losing_io_uring(struct fixture *x, unsigned int number)
{
	struct capture capture;
	struct disk_request *rq;
	unsigned int done = 0;
	const char *text;
	char line[256];

	x->disk.aio = DISK_AIO_URING;
	if (disk_aio_create(&x->aio, &x->disk) < 0)
		return 77;
	for (unsigned int i = 0; i < 10; i++)
		transfer(x, i, DISK_REQUEST_WRITE, i * BLOCK, 0, BLOCK);
	disk_aio_start(x->aio);
	forbid(number);
	capture_start(&capture, STDERR_FILENO);
	/* More than the ring has room for. */
	for (unsigned int i = 10; i < REQUESTS; i++)
		transfer(x, i, DISK_REQUEST_WRITE, i * BLOCK, 0, BLOCK);
	if (disk_aio_wait(x->aio, PLENTY_NS) < 0)
		return 1;
	for (rq = disk_aio_collect(x->aio); rq; rq = rq->next)
		done += rq->result == 0;
	transfer(x, 0, DISK_REQUEST_WRITE, 0, 0, BLOCK);
	if (done != REQUESTS || disk_aio_wait(x->aio, PLENTY_NS) < 0)
		return 2;
	text = capture_end(&capture);
	snprintf(line, sizeof(line),
		 "thaw: disk %s: io_uring has failed (%s), using "
		 "threads\n",
		 x->path, strerror(EPERM));
	if (strcmp(text, line))
		return 3;
	disk_aio_destroy(x->aio);
	return 0;
}

/* In a child, likewise: no thread can be started.  The caller runs all, in one line. */
static int without_threads(struct fixture *x, unsigned int number)
{
	struct capture capture;
	const char *text;

	forbid(number);
#ifdef __NR_clone
	forbid(__NR_clone);
#endif
	x->disk.aio = DISK_AIO_THREADS;
	if (disk_aio_create(&x->aio, &x->disk) < 0)
		return 1;
	capture_start(&capture, STDERR_FILENO);
	for (unsigned int i = 0; i < 10; i++)
		transfer(x, i, DISK_REQUEST_WRITE, i * BLOCK, 0, BLOCK);
	call(x, 10, call_flush);
	text = capture_end(&capture);
	if (strncmp(text, "thaw: disk thread: ", 19) ||
	    strchr(text, '\n') != strrchr(text, '\n'))
		return 2;
	if (disk_aio_wait(x->aio, PLENTY_NS) < 0)
		return 3;
	disk_aio_destroy(x->aio);
	return x->requests[10].rq.result == 0 ? 0 : 4;
}

/* The result of a check in a child of its own, which may be forbidden things. */
static void in_child(struct fixture *x,
		     int (*check)(struct fixture *x, unsigned int number),
		     unsigned int number)
{
	pid_t child;
	int status;

	disk_aio_destroy(x->aio);
	x->aio = NULL;
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		alarm(60);
		_exit(check(x, number));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_fallback(void **state)
{
	in_child(*state, without_io_uring, __NR_io_uring_setup);
	in_child(*state, without_io_uring, __NR_io_uring_enter);
}

static void test_lost(void **state)
{
	in_child(*state, losing_io_uring, __NR_io_uring_enter);
}

static void test_no_threads(void **state)
{
	in_child(*state, without_threads, __NR_clone3);
}

#define TEST(label, function)                                            \
	{ "disk-aio-" label "-auto", function, setup, teardown,          \
	  (void *)&automatic },                                          \
	{                                                                \
		"disk-aio-" label "-threads", function, setup, teardown, \
			(void *)&threads                                 \
	}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST("parallel", test_parallel),
		TEST("uncached", test_uncached),
		TEST("out-of-order", test_out_of_order),
		TEST("calls-meet", test_calls_meet),
		TEST("wait", test_wait),
		TEST("destroy", test_destroy),
		TEST("errors", test_errors),
		TEST("read-only", test_read_only),
		TEST("saved-error", test_saved_error),
		TEST("direct", test_direct),
		TEST("large-blocks", test_large_blocks),
		TEST("parts-of-blocks", test_parts_of_blocks),
		TEST("block-size", test_block_size),
		TEST("part-of-sector", test_part_of_sector),
		TEST("mixed-file", test_mixed_file),
		TEST("mixed-device", test_mixed_device),
		{ "disk-aio-fallback", test_fallback, setup, teardown,
		  (void *)&threads },
		{ "disk-aio-no-threads", test_no_threads, setup, teardown,
		  (void *)&threads },
		{ "disk-aio-lost", test_lost, setup, teardown,
		  (void *)&threads },
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
