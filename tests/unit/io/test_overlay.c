// SPDX-License-Identifier: BSD-2-Clause
/*
 * The overlay against a model: random transfers and discards at odd places, from one
 * thread, and from several that share blocks but no byte.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/base/bytes.h"
#include "vmm/base/thread.h"
#include "vmm/io/overlay.h"
#include "vmm/io/transfer.h"

#define BLOCK	OVERLAY_BLOCK_BYTES
#define BYTES	(100 * BLOCK + 3 * 512) /* the last block is not whole */
#define ROUNDS	4000
#define THREADS 6
#define PARTS	4 /* buffers of a transfer, at most */

struct fixture {
	struct overlay *overlay;
	int base_fd, fd;
	atomic_bool ending;
	uint8_t model[BYTES], base[BYTES];
};

/* Every other sector of the base is a hole, as far as its contents go. */
static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));
	int base = memfd_create("base", MFD_CLOEXEC);

	for (uint64_t i = 0; i < BYTES; i++)
		if (i / (8 * BLOCK) % 2)
			x->base[i] = (uint8_t)(i / 512 + i);
	memcpy(x->model, x->base, BYTES);
	assert_int_equal(pwrite(base, x->base, BYTES, 0), BYTES);
	x->base_fd = dup(base);
	x->fd = memfd_create("store", MFD_CLOEXEC);
	assert_int_equal(ftruncate(x->fd, BYTES), 0);
	assert_int_equal(overlay_create(&x->overlay, base, x->fd, BYTES,
					&x->ending),
			 0);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;
	static uint8_t base[BYTES];

	overlay_destroy(x->overlay);
	overlay_destroy(NULL);
	/* The base was not written to. */
	assert_int_equal(pread(x->base_fd, base, BYTES, 0), BYTES);
	assert_memory_equal(base, x->base, BYTES);
	close(x->base_fd);
	close(x->fd);
	free(x);
	return 0;
}

/* A transfer, in up to PARTS buffers. */
static int transfer(struct fixture *x, uint8_t *data, uint64_t offset,
		    uint64_t len, bool write, unsigned int *seed)
{
	struct iovec iov[PARTS];
	int count = 0;

	while (count < PARTS - 1 && len > 1) {
		uint64_t n = (uint64_t)rand_r(seed) % len;

		iov[count++] = (struct iovec){ data, n };
		data += n;
		len -= n;
		offset += n;
	}
	iov[count++] = (struct iovec){ data, len };
	for (int i = 0; i < count - 1; i++)
		offset -= iov[i].iov_len;
	return overlay_transfer(x->overlay, iov, count, offset, write);
}

/* All of it is as the model, read at once and by sectors. */
static void check_all(struct fixture *x)
{
	static uint8_t got[BYTES];
	unsigned int seed = 1;

	memset(got, 0xee, sizeof(got));
	assert_int_equal(transfer(x, got, 0, BYTES, false, &seed), 0);
	assert_memory_equal(got, x->model, BYTES);
	for (uint64_t at = 0; at < BYTES; at += 512) {
		assert_int_equal(transfer(x, got, at, 512, false, &seed), 0);
		assert_memory_equal(got, x->model + at, 512);
	}
}

/* Data is where it is said to be, and nowhere else. */
static void check_data(const struct fixture *x)
{
	uint64_t at = 0, start, end;

	while (overlay_next_data(x->overlay, at, &start, &end)) {
		assert_true(start >= at && start < end && end <= BYTES);
		for (uint64_t i = at; i < start; i++)
			assert_int_equal(x->model[i], 0);
		at = end;
	}
	for (uint64_t i = at; i < BYTES; i++)
		assert_int_equal(x->model[i], 0);
}

static void test_random(void **state)
{
	struct fixture *x = *state;
	static uint8_t data[BYTES];
	unsigned int seed = 7;

	check_all(x);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint64_t at = (uint64_t)rand_r(&seed) % BYTES;
		uint64_t most = min_u64(BYTES - at, i % 8 ? 3 * BLOCK : BYTES);
		uint64_t len = (uint64_t)rand_r(&seed) % (most + 1);

		switch (rand_r(&seed) % 4) {
		case 0:
			for (uint64_t k = 0; k < len; k++)
				data[k] = (uint8_t)rand_r(&seed);
			assert_int_equal(transfer(x, data, at, len, true,
						  &seed),
					 0);
			memcpy(x->model + at, data, len);
			break;
		case 1:
			at = align_down(at, BLOCK);
			len = align_down(min_u64(len, BYTES - at), BLOCK);
			assert_int_equal(overlay_zero(x->overlay, at, len), 0);
			memset(x->model + at, 0, len);
			break;
		default:
			assert_int_equal(transfer(x, data, at, len, false,
						  &seed),
					 0);
			assert_memory_equal(data, x->model + at, len);
			break;
		}
		if (i % 500 == 0) {
			check_all(x);
			check_data(x);
		}
	}
	check_all(x);
	check_data(x);
}

/* A thread's own sectors: those whose number is its own, modulo THREADS. */
struct writer {
	struct fixture *x;
	unsigned int number;
	pthread_barrier_t *meeting;
	pthread_t thread;
	bool failed;
	bool wrote[BYTES / BLOCK + 1]; /* write_blocks(): all of a block */
};

/*
 * Writes its sectors in the order of the disk, as all threads do at the same time, so
 * that they meet in blocks which are not in the store yet; reads them before and
 * after.
 */
static void *write_sectors(void *arg)
{
	struct writer *w = arg;
	uint8_t data[512], got[512];
	struct iovec iov = { data, 512 }, read = { got, 512 };

	pthread_barrier_wait(w->meeting);
	for (uint64_t n = w->number; n < BYTES / 512; n += THREADS) {
		uint64_t at = n * 512;

		w->failed |= overlay_transfer(w->x->overlay, &read, 1, at,
					      false) != 0 ||
			     memcmp(got, w->x->model + at, 512) != 0;
		memset(data, (int)n, sizeof(data));
		w->failed |=
			overlay_transfer(w->x->overlay, &iov, 1, at, true) != 0;
		w->failed |= overlay_transfer(w->x->overlay, &read, 1, at,
					      false) != 0 ||
			     memcmp(got, data, 512) != 0;
		memcpy(w->x->model + at, data, sizeof(data));
	}
	return NULL;
}

/* Begins with the base again. */
static void begin_again(struct fixture *x)
{
	overlay_destroy(x->overlay);
	assert_int_equal(ftruncate(x->fd, 0), 0);
	assert_int_equal(ftruncate(x->fd, BYTES), 0);
	memcpy(x->model, x->base, BYTES);
	assert_int_equal(overlay_create(&x->overlay, dup(x->base_fd), x->fd,
					BYTES, &x->ending),
			 0);
}

/* Blocks that hold sectors of several threads lose none of their writes. */
static void test_threads(void **state)
{
	struct fixture *x = *state;
	static struct writer w[THREADS];
	pthread_barrier_t meeting;

	pthread_barrier_init(&meeting, NULL, THREADS);
	for (unsigned int round = 0; round < 100; round++) {
		begin_again(x);
		for (unsigned int i = 0; i < THREADS; i++) {
			w[i] = (struct writer){ .x = x,
						.number = i,
						.meeting = &meeting };
			assert_int_equal(thread_start(&w[i].thread, "test",
						      write_sectors, &w[i]),
					 0);
		}
		for (unsigned int i = 0; i < THREADS; i++) {
			pthread_join(w[i].thread, NULL);
			assert_false(w[i].failed);
		}
		check_all(x);
	}
	pthread_barrier_destroy(&meeting);
}

/* One thread writes and discards whole blocks, another a sector in each. */
static void *write_blocks(void *arg)
{
	struct writer *w = arg;
	static uint8_t data[4 * BLOCK];
	struct iovec iov = { data, sizeof(data) };
	unsigned int seed = 5;

	memset(data, 9, sizeof(data));
	for (unsigned int i = 0; i < ROUNDS / 4; i++) {
		uint64_t at = (uint64_t)rand_r(&seed) % 96 * BLOCK;

		w->failed |=
			i % 3 ? overlay_transfer(w->x->overlay, &iov, 1, at,
						 true) != 0 :
				overlay_zero(w->x->overlay, at, 2 * BLOCK) != 0;
		for (uint64_t k = 0; k < (i % 3 ? 4 : 2); k++)
			w->wrote[at / BLOCK + k] = true;
	}
	return NULL;
}

/* A block that was written as a whole has nothing of the base any more. */
static void test_contended(void **state)
{
	struct fixture *x = *state;
	static struct writer w;
	static uint8_t got[BYTES];
	struct iovec all = { got, BYTES };
	uint8_t sector[512];
	struct iovec iov = { sector, sizeof(sector) };
	unsigned int seed = 3;

	w = (struct writer){ .x = x };
	memset(sector, 8, sizeof(sector));
	assert_int_equal(thread_start(&w.thread, "test", write_blocks, &w), 0);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint64_t at = (uint64_t)rand_r(&seed) % (BYTES / 512) * 512;

		assert_int_equal(overlay_transfer(x->overlay, &iov, 1, at,
						  true),
				 0);
	}
	pthread_join(w.thread, NULL);
	assert_false(w.failed);
	assert_int_equal(overlay_transfer(x->overlay, &all, 1, 0, false), 0);
	for (uint64_t i = 0; i < BYTES; i++)
		assert_true(got[i] == 9 || got[i] == 8 || got[i] == 0 ||
			    (!w.wrote[i / BLOCK] && got[i] == x->base[i]));
}

/* A base that was cut, and a store without room. */
static void test_errors(void **state)
{
	struct fixture *x = *state;
	uint8_t data[BLOCK] = { 1 };
	struct iovec iov = { data, BLOCK }, part = { data, 100 };
	int full = open("/dev/full", O_RDWR), store = dup(x->fd);

	dup2(full, x->fd);
	assert_int_equal(overlay_transfer(x->overlay, &iov, 1, 8 * BLOCK, true),
			 -ENOSPC);
	assert_int_equal(overlay_transfer(x->overlay, &part, 1, 9 * BLOCK + 5,
					  true),
			 -ENOSPC);
	dup2(store, x->fd);
	/* The blocks are still the base's. */
	check_all(x);
	assert_int_equal(ftruncate(x->base_fd, 50 * BLOCK), 0);
	assert_int_equal(overlay_transfer(x->overlay, &iov, 1, 60 * BLOCK,
					  false),
			 TRANSFER_SHORT);
	assert_int_equal(overlay_transfer(x->overlay, &part, 1, 60 * BLOCK,
					  true),
			 TRANSFER_SHORT);
	assert_int_equal(overlay_transfer(x->overlay, &iov, 1, 60 * BLOCK,
					  true),
			 0);
	assert_int_equal(overlay_transfer(x->overlay, &part, 1, 60 * BLOCK + 7,
					  true),
			 0);
	assert_int_equal(ftruncate(x->base_fd, 0), 0);
	assert_int_equal(pwrite(x->base_fd, x->base, BYTES, 0), BYTES);
	close(store);
	close(full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_random, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_contended, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
