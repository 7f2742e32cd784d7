// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio block, from registers to the image file, with each engine: io_uring, where
 * the host has it, and threads.
 *
 * A request is slow where its data is in a page of guest memory that userfaultfd(2)
 * holds absent until the test releases it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/userfaultfd.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest.h"
#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/base/thread.h"
#include "vmm/io/disk.h"
#include "vmm/snap/section.h"

#define SECTORS	   512
#define DISK_BYTES (SECTORS * 512)
#define HEADER	   (gpa_t)0x140000
#define STATUS	   (gpa_t)0x141000
#define TABLE	   (gpa_t)0x142000
#define DATA	   GUEST_HIGH

/* The data of a slow request: long, so that no engine does it on the loop. */
#define SLOW	   (GUEST_HIGH + MIB)
#define SLOW_BYTES (128 * KIB)

#define ALL_FEATURES UINT64_MAX
#define NO_FLUSH     (ALL_FEATURES & ~(UINT64_C(1) << VIRTIO_BLK_F_FLUSH))

/* The engines, as the initial state of a test. */
static const enum disk_aio_kind automatic = DISK_AIO_AUTO;
static const enum disk_aio_kind threads = DISK_AIO_THREADS;

struct fixture {
	struct guest g;
	struct disk disk;
	char path[64];
	struct device device;
	struct guest_device d;
	unsigned int queues;
	int uffd; /* -1: no request is slow */
	uint8_t image[DISK_BYTES]; /* what the file should hold */
};

static int setup_mode(void **state, bool read_only, unsigned int queues)
{
	const enum disk_aio_kind *kind = *state;
	struct fixture *x = calloc(1, sizeof(*x));
	int fd;

	x->uffd = -1;
	x->queues = queues;
	strcpy(x->path, "/tmp/thaw-blk-XXXXXX");
	fd = mkstemp(x->path);
	assert_true(fd >= 0);
	for (unsigned int i = 0; i < DISK_BYTES; i++)
		x->image[i] = (uint8_t)(i / 512 * 7 + i);
	assert_int_equal(write(fd, x->image, DISK_BYTES), DISK_BYTES);
	close(fd);
	guest_init(&x->g);
	assert_int_equal(disk_open(&x->disk, x->path, read_only), 0);
	x->disk.aio = *kind;
	assert_int_equal(virtio_blk_create(&x->device, &x->g.host, "disk0",
					   &x->disk, x->queues),
			 0);
	guest_find(&x->g, &x->d, 1);
	*state = x;
	return 0;
}

static int setup(void **state)
{
	return setup_mode(state, false, 1);
}

static int setup_queues(void **state)
{
	return setup_mode(state, false, 4);
}

static int setup_read_only(void **state)
{
	return setup_mode(state, true, 1);
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	/* First, so that a request of a failed test ends. */
	if (x->uffd >= 0)
		close(x->uffd);
	guest_destroy(&x->g, &x->device);
	guest_finish(&x->g);
	disk_close(&x->disk);
	unlink(x->path);
	free(x);
	return 0;
}

static void file_is_as_expected(struct fixture *x)
{
	static uint8_t now[DISK_BYTES];
	int fd = open(x->path, O_RDONLY);

	assert_int_equal(read(fd, now, DISK_BYTES), DISK_BYTES);
	close(fd);
	assert_memory_equal(now, x->image, DISK_BYTES);
}

static void put_header(struct fixture *x, uint32_t type, uint64_t sector)
{
	uint8_t *p = guest_ptr(&x->g, HEADER, 16);

	put_le32(p, type);
	put_le32(p + 4, 0);
	put_le64(p + 8, sector);
	*(uint8_t *)guest_ptr(&x->g, STATUS, 1) = 0xee;
}

/* One request with data at @at; its status, and the used length. */
static uint8_t request(struct fixture *x, uint32_t type, uint64_t sector,
		       gpa_t at, uint32_t len, uint32_t *used_len)
{
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	struct guest_buffer b[3] = {
		{ HEADER, 16, 0 },
		{ at, len, in ? GUEST_WRITE : 0 },
		{ STATUS, 1, GUEST_WRITE },
	};
	uint32_t head, used, got;

	put_header(x, type, sector);
	if (len == 0)
		b[1] = b[2];
	head = guest_add(&x->d, 0, b, len ? 3 : 2);
	guest_kick(&x->d, 0);
	assert_true(guest_used(&x->d, 0, &got, &used));
	assert_int_equal(got, head);
	if (used_len)
		*used_len = used;
	return *(uint8_t *)guest_ptr(&x->g, STATUS, 1);
}

static void test_config(void **state)
{
	struct fixture *x = *state;

	guest_start(&x->d, ALL_FEATURES, 1);
	assert_int_equal(guest_read(&x->g, x->d.config, 8), SECTORS);
	assert_int_equal(guest_read(&x->g, x->d.config + 20, 4), 512);
	assert_true(x->d.features & 1u << VIRTIO_BLK_F_FLUSH);
	assert_false(x->d.features & 1u << VIRTIO_BLK_F_RO);
	assert_true(x->d.features & 1u << VIRTIO_BLK_F_DISCARD);
	/* As it was before there were several queues. */
	assert_false(x->d.features & 1u << VIRTIO_BLK_F_MQ);
}

static void test_read_write(void **state)
{
	struct fixture *x = *state;
	uint32_t used;

	guest_start(&x->d, ALL_FEATURES, 1);
	assert_int_equal(request(x, VIRTIO_BLK_T_IN, 3, DATA, 1024, &used), 0);
	assert_int_equal(used, 1025);
	assert_memory_equal(guest_ptr(&x->g, DATA, 1024), x->image + 3 * 512,
			    1024);
	assert_int_equal(guest_fired(&x->d, 1), 1);
	memset(guest_ptr(&x->g, DATA, 4096), 0x5a, 4096);
	memset(x->image + 100 * 512, 0x5a, 4096);
	assert_int_equal(request(x, VIRTIO_BLK_T_OUT, 100, DATA, 4096, &used),
			 0);
	assert_int_equal(used, 1);
	assert_int_equal(request(x, VIRTIO_BLK_T_FLUSH, 0, 0, 0, &used), 0);
	file_is_as_expected(x);
	/* The last sector, and one past it. */
	assert_int_equal(request(x, VIRTIO_BLK_T_IN, SECTORS - 1, DATA, 512,
				 NULL),
			 0);
	assert_int_equal(request(x, VIRTIO_BLK_T_IN, SECTORS - 1, DATA, 1024,
				 &used),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(used, 0);
}

/* 64 KiB in sixteen pieces, direct and indirect, with a header in two. */
static void test_segments(void **state)
{
	struct fixture *x = *state;
	struct guest_buffer b[19] = { { HEADER, 5, 0 }, { HEADER + 5, 11, 0 } };
	uint32_t head, len;

	guest_start(&x->d, ALL_FEATURES, 1);
	for (unsigned int i = 0; i < 16; i++)
		b[2 + i] = (struct guest_buffer){ DATA + 0x2000 * i + i, 4096,
						  GUEST_WRITE };
	b[18] = (struct guest_buffer){ STATUS, 1, GUEST_WRITE };
	for (unsigned int round = 0; round < 2; round++) {
		memset(guest_ptr(&x->g, DATA, 0x40000), 0, 0x40000);
		put_header(x, VIRTIO_BLK_T_IN, 8);
		if (round == 0)
			guest_add(&x->d, 0, b, 19);
		else
			guest_add_indirect(&x->d, 0, TABLE, b, 19);
		guest_kick(&x->d, 0);
		assert_true(guest_used(&x->d, 0, &head, &len));
		assert_int_equal(len, 65537);
		assert_int_equal(*(uint8_t *)guest_ptr(&x->g, STATUS, 1), 0);
		for (unsigned int i = 0; i < 16; i++)
			assert_memory_equal(guest_ptr(&x->g, b[2 + i].gpa,
						      4096),
					    x->image + 4096 + 4096 * i, 4096);
	}
	/* All in one writable descriptor, the status behind the data. */
	b[1] = (struct guest_buffer){ DATA, 513, GUEST_WRITE };
	b[0].len = 16;
	put_header(x, VIRTIO_BLK_T_IN, 1);
	guest_add(&x->d, 0, b, 2);
	guest_kick(&x->d, 0);
	assert_true(guest_used(&x->d, 0, &head, &len));
	assert_memory_equal(guest_ptr(&x->g, DATA, 512), x->image + 512, 512);
	assert_int_equal(*(uint8_t *)guest_ptr(&x->g, DATA + 512, 1), 0);
}

/* Many requests before one kick; every one is answered. */
static void test_batch(void **state)
{
	struct fixture *x = *state;
	uint32_t head, len;

	guest_start(&x->d, ALL_FEATURES, 1);
	put_header(x, VIRTIO_BLK_T_IN, 0);
	for (unsigned int round = 0; round < 50; round++) {
		for (unsigned int i = 0; i < 20; i++) {
			struct guest_buffer b[3] = {
				{ HEADER, 16, 0 },
				{ DATA + 512 * i, 512, GUEST_WRITE },
				{ STATUS + i, 1, GUEST_WRITE },
			};

			guest_add(&x->d, 0, b, 3);
		}
		guest_kick(&x->d, 0);
		for (unsigned int i = 0; i < 20; i++) {
			assert_true(guest_used(&x->d, 0, &head, &len));
			assert_int_equal(len, 513);
		}
		assert_false(guest_used_now(&x->d, 0, &head, &len));
	}
}

static void test_bounds(void **state)
{
	static const uint64_t sectors[] = {
		SECTORS,	   SECTORS + 1,		 UINT64_MAX,
		UINT64_MAX / 512,  UINT64_MAX / 512 + 1, UINT64_C(1) << 55,
		UINT64_C(1) << 63,
	};
	struct fixture *x = *state;

	guest_start(&x->d, ALL_FEATURES, 1);
	for (size_t i = 0; i < ARRAY_SIZE(sectors); i++) {
		assert_int_equal(request(x, VIRTIO_BLK_T_IN, sectors[i], DATA,
					 512, NULL),
				 VIRTIO_BLK_S_IOERR);
		assert_int_equal(request(x, VIRTIO_BLK_T_OUT, sectors[i], DATA,
					 512, NULL),
				 VIRTIO_BLK_S_IOERR);
	}
	/* Not whole sectors; more than the disk. */
	assert_int_equal(request(x, VIRTIO_BLK_T_IN, 0, DATA, 511, NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(x, VIRTIO_BLK_T_OUT, 0, DATA, 513, NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(x, VIRTIO_BLK_T_OUT, 0, DATA, DISK_BYTES + 512,
				 NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(x, 0x4711, 0, DATA, 512, NULL),
			 VIRTIO_BLK_S_UNSUPP);
	file_is_as_expected(x);
	assert_int_equal(guest_status(&x->d) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
}

static void test_read_only(void **state)
{
	struct fixture *x = *state;

	guest_start(&x->d, ALL_FEATURES, 1);
	assert_true(x->d.features & 1u << VIRTIO_BLK_F_RO);
	assert_false(x->d.features & 1u << VIRTIO_BLK_F_DISCARD);
	assert_int_equal(request(x, VIRTIO_BLK_T_IN, 0, DATA, 512, NULL), 0);
	assert_int_equal(request(x, VIRTIO_BLK_T_OUT, 0, DATA, 512, NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(x, VIRTIO_BLK_T_DISCARD, 0, DATA, 16, NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(x, VIRTIO_BLK_T_WRITE_ZEROES, 0, DATA, 16,
				 NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(x, VIRTIO_BLK_T_FLUSH, 0, 0, 0, NULL), 0);
	file_is_as_expected(x);
}

static void test_get_id(void **state)
{
	struct fixture *x = *state;

	guest_start(&x->d, ALL_FEATURES, 1);
	memset(guest_ptr(&x->g, DATA, 32), 0xcc, 32);
	assert_int_equal(request(x, VIRTIO_BLK_T_GET_ID, 0, DATA, 20, NULL), 0);
	assert_memory_equal(guest_ptr(&x->g, DATA, 9), "thaw-blk-", 9);
	assert_int_equal(*(uint8_t *)guest_ptr(&x->g, DATA + 20, 1), 0xcc);
	/* A short buffer gets what it has room for. */
	memset(guest_ptr(&x->g, DATA, 32), 0xcc, 32);
	assert_int_equal(request(x, VIRTIO_BLK_T_GET_ID, 0, DATA, 4, NULL), 0);
	assert_memory_equal(guest_ptr(&x->g, DATA, 5), "thaw\xcc", 5);
	/* A copy of a disk has the name of that. */
	x->disk.origin = strdup("/img/first.img");
	assert_int_equal(request(x, VIRTIO_BLK_T_GET_ID, 0, DATA, 20, NULL), 0);
	assert_string_equal(guest_ptr(&x->g, DATA, 20), "first.img");
}

static void put_range(struct fixture *x, unsigned int i, uint64_t sector,
		      uint32_t sectors, uint32_t flags)
{
	uint8_t *p = guest_ptr(&x->g, DATA + 16 * i, 16);

	put_le64(p, sector);
	put_le32(p + 8, sectors);
	put_le32(p + 12, flags);
}

static void test_discard_and_zeroes(void **state)
{
	struct fixture *x = *state;

	guest_start(&x->d, ALL_FEATURES, 1);
	put_range(x, 0, 8, 16, 0);
	put_range(x, 1, 64, 8, 1);
	assert_int_equal(request(x, VIRTIO_BLK_T_WRITE_ZEROES, 0, DATA, 32,
				 NULL),
			 0);
	memset(x->image + 8 * 512, 0, 16 * 512);
	memset(x->image + 64 * 512, 0, 8 * 512);
	file_is_as_expected(x);
	put_range(x, 0, 128, 16, 0);
	if (request(x, VIRTIO_BLK_T_DISCARD, 0, DATA, 16, NULL) == 0)
		memset(x->image + 128 * 512, 0, 16 * 512);
	file_is_as_expected(x);
	/* Discard has no unmap flag, and no request has other flags. */
	put_range(x, 0, 0, 8, 1);
	assert_int_equal(request(x, VIRTIO_BLK_T_DISCARD, 0, DATA, 16, NULL),
			 VIRTIO_BLK_S_UNSUPP);
	put_range(x, 0, 0, 8, 2);
	assert_int_equal(request(x, VIRTIO_BLK_T_WRITE_ZEROES, 0, DATA, 16,
				 NULL),
			 VIRTIO_BLK_S_UNSUPP);
	/* Ranges that are not on the disk, and requests of a bad size. */
	put_range(x, 0, SECTORS - 1, 2, 0);
	assert_int_equal(request(x, VIRTIO_BLK_T_WRITE_ZEROES, 0, DATA, 16,
				 NULL),
			 VIRTIO_BLK_S_IOERR);
	put_range(x, 0, UINT64_MAX, UINT32_MAX, 0);
	assert_int_equal(request(x, VIRTIO_BLK_T_DISCARD, 0, DATA, 16, NULL),
			 VIRTIO_BLK_S_IOERR);
	put_range(x, 0, 0, 1, 0);
	assert_int_equal(request(x, VIRTIO_BLK_T_DISCARD, 0, DATA, 15, NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(x, VIRTIO_BLK_T_DISCARD, 0, 0, 0, NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(x, VIRTIO_BLK_T_DISCARD, 0, DATA, 16 * 17,
				 NULL),
			 VIRTIO_BLK_S_IOERR);
	file_is_as_expected(x);
}

/* The image shrinks while the guest runs. */
static void test_image_vanishes(void **state)
{
	struct fixture *x = *state;

	guest_start(&x->d, ALL_FEATURES, 1);
	assert_int_equal(truncate(x->path, 512), 0);
	assert_int_equal(request(x, VIRTIO_BLK_T_IN, 0, DATA, 512, NULL), 0);
	assert_int_equal(request(x, VIRTIO_BLK_T_IN, 0, DATA, 1024, NULL),
			 VIRTIO_BLK_S_IOERR);
}

/* Requests without header or status break the device, once per reset. */
static void test_malformed(void **state)
{
	struct guest_buffer shapes[][2] = {
		{ { HEADER, 15, 0 }, { STATUS, 1, GUEST_WRITE } },
		{ { HEADER, 16, 0 }, { HEADER, 16, 0 } },
		{ { HEADER, 16, GUEST_WRITE }, { STATUS, 1, GUEST_WRITE } },
	};
	struct fixture *x = *state;
	unsigned int lines;

	guest_log_begin(&x->g);
	for (unsigned int round = 0; round < 100; round++) {
		uint32_t head, len;

		guest_start(&x->d, ALL_FEATURES, 1);
		put_header(x, VIRTIO_BLK_T_IN, 0);
		guest_fired(&x->d, 0);
		guest_add(&x->d, 0, shapes[round % 3], 2);
		guest_kick(&x->d, 0);
		guest_sync(&x->g);
		assert_true(guest_status(&x->d) & VIRTIO_CONFIG_S_NEEDS_RESET);
		assert_int_equal(guest_fired(&x->d, 0), 1);
		assert_false(guest_used_now(&x->d, 0, &head, &len));
	}
	lines = guest_log_end(&x->g);
	assert_in_range(lines, 1, 10);
	/* It works after a reset. */
	guest_start(&x->d, ALL_FEATURES, 1);
	assert_int_equal(request(x, VIRTIO_BLK_T_IN, 0, DATA, 512, NULL), 0);
}

static void test_save_load(void **state)
{
	struct fixture *x = *state;
	const struct device_ops *ops = x->device.ops;
	struct snap_writer w = { 0 };
	struct snap_reader r;
	struct guest_buffer b[3] = { { HEADER, 16, 0 },
				     { DATA, 512, GUEST_WRITE },
				     { STATUS, 1, GUEST_WRITE } };
	uint32_t head, len;

	guest_start(&x->d, ALL_FEATURES, 1);
	for (unsigned int i = 0; i < 70; i++)
		assert_int_equal(request(x, VIRTIO_BLK_T_IN, i, DATA, 512,
					 NULL),
				 0);
	assert_int_equal(ops->quiesce(x->device.state, INT64_MAX), 0);
	/* A kick while quiesced is served after resume. */
	put_header(x, VIRTIO_BLK_T_IN, 5);
	guest_add(&x->d, 0, b, 3);
	guest_kick(&x->d, 0);
	guest_sync(&x->g);
	assert_false(guest_used_now(&x->d, 0, &head, &len));
	assert_int_equal(ops->save(x->device.state, &w), 0);
	/* Continue in a new machine. */
	guest_destroy(&x->g, &x->device);
	assert_int_equal(virtio_blk_create(&x->device, &x->g.host, "disk0",
					   &x->disk, x->queues),
			 0);
	ops = x->device.ops;
	assert_int_equal(ops->quiesce(x->device.state, INT64_MAX), 0);
	r = (struct snap_reader){ .data = w.data, .len = w.len };
	assert_int_equal(ops->load(x->device.state, &r), 0);
	guest_sync(&x->g);
	assert_false(guest_used_now(&x->d, 0, &head, &len));
	ops->resume(x->device.state);
	assert_true(guest_used(&x->d, 0, &head, &len));
	assert_int_equal(len, 513);
	assert_memory_equal(guest_ptr(&x->g, DATA, 512), x->image + 5 * 512,
			    512);
	assert_true(guest_fired(&x->d, 1) > 0);
	assert_int_equal(guest_status(&x->d), 15);
	for (unsigned int i = 0; i < 70; i++)
		assert_int_equal(request(x, VIRTIO_BLK_T_IN, i, DATA, 512,
					 NULL),
				 0);
	snap_writer_finish(&w);
}

static void test_load_hostile(void **state)
{
	struct fixture *x = *state;
	const struct device_ops *ops = x->device.ops;
	struct snap_writer w = { 0 };
	unsigned int seed = 0x6273;
	uint8_t *bytes;

	guest_start(&x->d, ALL_FEATURES, 1);
	request(x, VIRTIO_BLK_T_IN, 0, DATA, 512, NULL);
	ops->quiesce(x->device.state, INT64_MAX);
	ops->save(x->device.state, &w);
	bytes = malloc(w.len + 1);
	print_message("seed %#x\n", seed);
	guest_log_begin(&x->g);
	for (size_t len = 0; len <= w.len + 1; len++) {
		struct snap_reader r = { .data = bytes, .len = len };

		memcpy(bytes, w.data, w.len);
		bytes[w.len] = 0;
		assert_int_equal(ops->load(x->device.state, &r) == 0,
				 len == w.len);
	}
	for (unsigned int i = 0; i < 3000; i++) {
		struct snap_reader r = { .data = bytes, .len = w.len };

		memcpy(bytes, w.data, w.len);
		for (int n = rand_r(&seed) % 4; n >= 0; n--)
			bytes[(size_t)rand_r(&seed) % w.len] =
				(uint8_t)rand_r(&seed);
		ops->load(x->device.state, &r);
		ops->resume(x->device.state);
		guest_sync(&x->g);
		ops->quiesce(x->device.state, INT64_MAX);
	}
	guest_log_end(&x->g);
	ops->reset(x->device.state);
	ops->resume(x->device.state);
	guest_find(&x->g, &x->d, 1);
	guest_start(&x->d, ALL_FEATURES, 1);
	assert_int_equal(request(x, VIRTIO_BLK_T_IN, 0, DATA, 512, NULL), 0);
	free(bytes);
	snap_writer_finish(&w);
}

static void test_other_disk_refused(void **state)
{
	struct fixture *x = *state;
	const struct device_ops *ops = x->device.ops;
	struct snap_writer w = { 0 };
	struct snap_reader r;

	guest_start(&x->d, ALL_FEATURES, 1);
	ops->quiesce(x->device.state, INT64_MAX);
	ops->save(x->device.state, &w);
	x->disk.size_bytes -= 512;
	guest_log_begin(&x->g);
	r = (struct snap_reader){ .data = w.data, .len = w.len };
	assert_true(ops->load(x->device.state, &r) < 0);
	x->disk.size_bytes += 512;
	x->disk.read_only = true;
	r = (struct snap_reader){ .data = w.data, .len = w.len };
	assert_true(ops->load(x->device.state, &r) < 0);
	assert_true(guest_log_end(&x->g) > 0);
	ops->resume(x->device.state);
	snap_writer_finish(&w);
}

/* The device anew, with a disk of such blocks; no driver has found it. */
static void with_blocks(struct fixture *x, uint32_t block_bytes)
{
	guest_destroy(&x->g, &x->device);
	x->disk.block_bytes = block_bytes;
	assert_int_equal(virtio_blk_create(&x->device, &x->g.host, "disk0",
					   &x->disk, x->queues),
			 0);
}

#define BLK_SIZE	  20 /* in the config space */
#define DISCARD_ALIGNMENT 44

static void test_blocks(void **state)
{
	struct fixture *x = *state;
	uint8_t *range;

	with_blocks(x, 4096);
	guest_find(&x->g, &x->d, 1);
	guest_start(&x->d, ALL_FEATURES, 1);
	assert_int_equal(guest_read(&x->g, x->d.config, 8), SECTORS);
	assert_int_equal(guest_read(&x->g, x->d.config + BLK_SIZE, 4), 4096);
	assert_int_equal(guest_read(&x->g, x->d.config + DISCARD_ALIGNMENT, 4),
			 8);
	assert_int_equal(request(x, VIRTIO_BLK_T_IN, 8, DATA, 4096, NULL), 0);
	assert_memory_equal(guest_ptr(&x->g, DATA, 4096), x->image + 8 * 512,
			    4096);
	assert_int_equal(request(x, VIRTIO_BLK_T_OUT, 16, DATA, 8192, NULL), 0);
	memcpy(x->image + 16 * 512, guest_ptr(&x->g, DATA, 8192), 8192);
	for (uint64_t sector = 1; sector < 8; sector++)
		assert_int_equal(request(x, VIRTIO_BLK_T_OUT, sector, DATA,
					 4096, NULL),
				 VIRTIO_BLK_S_IOERR);
	for (uint32_t len = 512; len < 4096; len += 512)
		assert_int_equal(request(x, VIRTIO_BLK_T_OUT, 0, DATA, len,
					 NULL),
				 VIRTIO_BLK_S_IOERR);
	/* All bits of the number are looked at. */
	assert_int_equal(request(x, VIRTIO_BLK_T_IN, UINT64_C(1) << 55, DATA,
				 4096, NULL),
			 VIRTIO_BLK_S_IOERR);
	range = guest_ptr(&x->g, DATA, 16);
	put_le64(range, 4);
	put_le32(range + 8, 8);
	put_le32(range + 12, 0);
	assert_int_equal(request(x, VIRTIO_BLK_T_WRITE_ZEROES, 0, DATA, 16,
				 NULL),
			 VIRTIO_BLK_S_IOERR);
	file_is_as_expected(x);
	put_le64(range, 8);
	assert_int_equal(request(x, VIRTIO_BLK_T_WRITE_ZEROES, 0, DATA, 16,
				 NULL),
			 0);
	memset(x->image + 8 * 512, 0, 4096);
	file_is_as_expected(x);
}

/* What a guest saved with blocks of @from makes of a disk with blocks of @to. */
static int load_blocks(struct fixture *x, uint32_t from, uint32_t to,
		       struct snap_writer *again)
{
	struct snap_writer w = { 0 };
	struct snap_reader r;
	int err;

	with_blocks(x, from);
	guest_find(&x->g, &x->d, 1);
	guest_start(&x->d, ALL_FEATURES, 1);
	x->device.ops->quiesce(x->device.state, INT64_MAX);
	assert_int_equal(x->device.ops->save(x->device.state, &w), 0);
	with_blocks(x, to);
	x->device.ops->quiesce(x->device.state, INT64_MAX);
	r = (struct snap_reader){ .data = w.data, .len = w.len };
	err = x->device.ops->load(x->device.state, &r);
	if (err == 0) {
		assert_int_equal(x->device.ops->save(x->device.state, again),
				 0);
		assert_int_equal(again->len, w.len);
		assert_memory_equal(again->data, w.data, w.len);
	}
	x->device.ops->resume(x->device.state);
	snap_writer_finish(&w);
	return err;
}

/* Blocks may be smaller than those that the guest knows, not larger. */
static void test_load_blocks(void **state)
{
	struct fixture *x = *state;
	struct snap_writer again = { 0 };

	assert_int_equal(load_blocks(x, 4096, 512, &again), 0);
	assert_int_equal(guest_read(&x->g, x->d.config + BLK_SIZE, 4), 4096);
	snap_writer_finish(&again);
	again = (struct snap_writer){ 0 };
	assert_int_equal(load_blocks(x, 1024, 1024, &again), 0);
	assert_int_equal(guest_read(&x->g, x->d.config + BLK_SIZE, 4), 1024);
	snap_writer_finish(&again);
	guest_log_begin(&x->g);
	assert_int_equal(load_blocks(x, 512, 4096, NULL), -EINVAL);
	assert_int_equal(guest_log_end(&x->g), 1);
}

/* Makes the first page of a slow request's data absent. */
static void hold(struct fixture *x)
{
	struct uffdio_api api = { .api = UFFD_API };
	uint8_t *page = guest_ptr(&x->g, SLOW, PAGE_BYTES);
	struct uffdio_register area = {
		.range = { (uintptr_t)page, PAGE_BYTES },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	/* The kernel's own accesses are held too. */
	x->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (x->uffd < 0) {
		print_message("userfaultfd: %s\n", strerror(errno));
		skip();
	}
	madvise(page, PAGE_BYTES, MADV_DONTNEED);
	assert_int_equal(ioctl(x->uffd, UFFDIO_API, &api), 0);
	assert_int_equal(ioctl(x->uffd, UFFDIO_REGISTER, &area), 0);
}

/* Has the page come: zeros. */
static void release(struct fixture *x)
{
	struct uffdio_zeropage zero = {
		.range = { (uintptr_t)guest_ptr(&x->g, SLOW, PAGE_BYTES),
			   PAGE_BYTES },
	};

	assert_int_equal(ioctl(x->uffd, UFFDIO_ZEROPAGE, &zero), 0);
}

/* Releases it in a moment. */
static void *release_later(void *ctx)
{
	usleep(200000);
	release(ctx);
	return NULL;
}

/* Submits a write of zeros to the start of the disk that waits for release(). */
static uint32_t submit_slow(struct fixture *x)
{
	struct guest_buffer b[3] = {
		{ HEADER + 64, 16, 0 },
		{ SLOW, SLOW_BYTES, 0 },
		{ STATUS + 64, 1, GUEST_WRITE },
	};
	uint8_t *head = guest_ptr(&x->g, b[0].gpa, 16);
	uint32_t id;

	hold(x);
	memset(guest_ptr(&x->g, SLOW + PAGE_BYTES, SLOW_BYTES - PAGE_BYTES), 0,
	       SLOW_BYTES - PAGE_BYTES);
	memset(head, 0, 16);
	put_le32(head, VIRTIO_BLK_T_OUT);
	*(uint8_t *)guest_ptr(&x->g, b[2].gpa, 1) = 0xee;
	id = guest_add(&x->d, 0, b, 3);
	guest_kick(&x->d, 0);
	guest_sync(&x->g);
	return id;
}

/* The slow request is complete, and the next in the used ring. */
static void slow_is_done(struct fixture *x, uint32_t id)
{
	uint32_t head, len;

	assert_true(guest_used(&x->d, 0, &head, &len));
	assert_int_equal(head, id);
	assert_int_equal(len, 1);
	assert_int_equal(*(uint8_t *)guest_ptr(&x->g, STATUS + 64, 1), 0);
	memset(x->image, 0, SLOW_BYTES);
}

/* Requests behind a slow one, a flush among them, are completed before it. */
static void test_out_of_order(void **state)
{
	struct fixture *x = *state;
	uint32_t id;

	guest_start(&x->d, ALL_FEATURES, 1);
	id = submit_slow(x);
	for (unsigned int i = 0; i < 200; i++)
		assert_int_equal(request(x, VIRTIO_BLK_T_IN, 300, DATA, 512,
					 NULL),
				 0);
	assert_memory_equal(guest_ptr(&x->g, DATA, 512), x->image + 300 * 512,
			    512);
	assert_int_equal(request(x, VIRTIO_BLK_T_FLUSH, 0, 0, 0, NULL), 0);
	release(x);
	slow_is_done(x, id);
	file_is_as_expected(x);
}

/* A pause fails while a request is slow, and the device goes on. */
static void test_quiesce(void **state)
{
	struct fixture *x = *state;
	const struct device_ops *ops = x->device.ops;
	uint32_t id;

	guest_start(&x->d, ALL_FEATURES, 1);
	id = submit_slow(x);
	guest_log_begin(&x->g);
	/* One deadline for all devices: this one has what is left. */
	assert_int_equal(ops->quiesce(x->device.state,
				      clock_now_ns() + NS_PER_S / 10),
			 -EBUSY);
	assert_int_equal(ops->quiesce(x->device.state, 1), -EBUSY);
	assert_int_equal(guest_log_end(&x->g), 2);
	assert_int_equal(request(x, VIRTIO_BLK_T_IN, 300, DATA, 512, NULL), 0);
	release(x);
	slow_is_done(x, id);
	assert_int_equal(ops->quiesce(x->device.state, INT64_MAX), 0);
	ops->resume(x->device.state);
	assert_int_equal(request(x, VIRTIO_BLK_T_IN, 300, DATA, 512, NULL), 0);
}

/* A pause waits for what is in flight, and it is completed before the save. */
static void test_quiesce_completes(void **state)
{
	struct fixture *x = *state;
	const struct device_ops *ops = x->device.ops;
	pthread_t thread;
	uint32_t id;

	guest_start(&x->d, ALL_FEATURES, 1);
	id = submit_slow(x);
	assert_int_equal(thread_start(&thread, "later", release_later, x), 0);
	assert_int_equal(ops->quiesce(x->device.state, INT64_MAX), 0);
	slow_is_done(x, id);
	pthread_join(thread, NULL);
	ops->resume(x->device.state);
}

/* How the guest takes the device's memory away. */
static void turn_off_master(struct fixture *x)
{
	guest_config_write(&x->g, 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
}

static void reset(struct fixture *x)
{
	guest_common_set(&x->d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
}

/* After @end, nothing in flight touches guest memory. */
static void ends_in_flight(struct fixture *x, void (*end)(struct fixture *x))
{
	uint8_t *page = guest_ptr(&x->g, SLOW, PAGE_BYTES);
	pthread_t thread;

	guest_start(&x->d, ALL_FEATURES, 1);
	submit_slow(x);
	assert_int_equal(thread_start(&thread, "later", release_later, x), 0);
	end(x);
	/* Only the release has made the page present. */
	memset(page, 0x77, PAGE_BYTES);
	memset(guest_ptr(&x->g, STATUS, PAGE_BYTES), 0x77, PAGE_BYTES);
	pthread_join(thread, NULL);
	usleep(20000);
	for (unsigned int i = 0; i < PAGE_BYTES; i++)
		assert_int_equal(*(uint8_t *)guest_ptr(&x->g, STATUS + i, 1),
				 0x77);
	guest_find(&x->g, &x->d, 1);
	guest_start(&x->d, ALL_FEATURES, 1);
	assert_int_equal(request(x, VIRTIO_BLK_T_IN, 300, DATA, 512, NULL), 0);
	memset(x->image, 0, SLOW_BYTES);
	file_is_as_expected(x);
}

static void test_reset(void **state)
{
	ends_in_flight(*state, reset);
}

static void test_master_off(void **state)
{
	ends_in_flight(*state, turn_off_master);
}

/* A device that broke completes nothing more, and works after a reset. */
static void test_break_in_flight(void **state)
{
	struct guest_buffer bad[2] = { { HEADER, 15, 0 },
				       { STATUS, 1, GUEST_WRITE } };
	struct fixture *x = *state;
	uint32_t head, len;

	guest_start(&x->d, ALL_FEATURES, 1);
	submit_slow(x);
	guest_log_begin(&x->g);
	guest_add(&x->d, 0, bad, 2);
	guest_kick(&x->d, 0);
	guest_sync(&x->g);
	guest_log_end(&x->g);
	release(x);
	usleep(50000);
	guest_sync(&x->g);
	assert_false(guest_used_now(&x->d, 0, &head, &len));
	guest_start(&x->d, ALL_FEATURES, 1);
	assert_int_equal(request(x, VIRTIO_BLK_T_IN, 300, DATA, 512, NULL), 0);
}

/* The end of the device with a request in flight. */
static void test_destroy(void **state)
{
	struct fixture *x = *state;
	pthread_t thread;

	guest_start(&x->d, ALL_FEATURES, 1);
	submit_slow(x);
	assert_int_equal(thread_start(&thread, "later", release_later, x), 0);
	guest_destroy(&x->g, &x->device);
	pthread_join(thread, NULL);
	assert_int_equal(virtio_blk_create(&x->device, &x->g.host, "disk0",
					   &x->disk, x->queues),
			 0);
}

/* More requests than are held: those that find no room follow. */
static void test_no_room(void **state)
{
	struct fixture *x = *state;
	uint32_t head, len;

	guest_negotiate(&x->d, ALL_FEATURES);
	guest_queue_start(&x->d, 0, 256, MIB);
	guest_driver_ok(&x->d);
	put_header(x, VIRTIO_BLK_T_IN, 0);
	for (unsigned int round = 0; round < 50; round++) {
		/* Reads, or flushes, which no engine completes at once. */
		bool flush = round % 2;

		put_header(x, flush ? VIRTIO_BLK_T_FLUSH : VIRTIO_BLK_T_IN, 0);
		for (unsigned int i = 0; i < 250; i++) {
			gpa_t table = TABLE + 48 * i;
			struct guest_buffer b[3] = {
				{ HEADER, 16, 0 },
				{ DATA + 512 * i, 512, GUEST_WRITE },
				{ STATUS + i, 1, GUEST_WRITE },
			};

			if (flush)
				b[1] = b[2];
			guest_add_indirect(&x->d, 0, table, b, flush ? 2 : 3);
			guest_kick(&x->d, 0);
		}
		for (unsigned int i = 0; i < 250; i++) {
			assert_true(guest_used(&x->d, 0, &head, &len));
			assert_int_equal(len, flush ? 1 : 513);
		}
	}
}

/* A driver without flush: each write is synced before it is completed. */
static void test_write_through(void **state)
{
	struct fixture *x = *state;
	int pipe_fds[2], image;

	guest_start(&x->d, NO_FLUSH, 1);
	memset(guest_ptr(&x->g, DATA, 512), 0x11, 512);
	memset(x->image, 0x11, 512);
	assert_int_equal(request(x, VIRTIO_BLK_T_OUT, 0, DATA, 512, NULL), 0);
	file_is_as_expected(x);
	/* Its next write has the error of a failed sync. */
	image = dup(x->disk.fd);
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(dup2(pipe_fds[0], x->disk.fd), x->disk.fd);
	assert_int_equal(disk_sync(&x->disk), -EINVAL);
	assert_int_equal(dup2(image, x->disk.fd), x->disk.fd);
	assert_int_equal(request(x, VIRTIO_BLK_T_IN, 0, DATA, 512, NULL), 0);
	guest_log_begin(&x->g);
	assert_int_equal(request(x, VIRTIO_BLK_T_OUT, 0, DATA, 512, NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(guest_log_end(&x->g), 1);
	assert_int_equal(request(x, VIRTIO_BLK_T_OUT, 0, DATA, 512, NULL), 0);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	close(image);
}

/* Requests on all queues at once, of which one has a slow one. */
static void test_queues(void **state)
{
	struct fixture *x = *state;
	uint32_t head, len, id;

	/* Each batch is to be interrupted for. */
	guest_start(&x->d,
		    ALL_FEATURES & ~(UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX),
		    4);
	assert_true(x->d.features & 1u << VIRTIO_BLK_F_MQ);
	assert_int_equal(guest_read(&x->g,
				    x->d.config +
					    offsetof(struct virtio_blk_config,
						     num_queues),
				    2),
			 4);
	id = submit_slow(x);
	for (unsigned int round = 0; round < 200; round++) {
		bool flush = round % 2;

		put_header(x, flush ? VIRTIO_BLK_T_FLUSH : VIRTIO_BLK_T_IN,
			   flush ? 0 : 300);
		for (unsigned int q = 1; q < 4; q++) {
			for (unsigned int i = 0; i < 10; i++) {
				struct guest_buffer b[3] = {
					{ HEADER, 16, 0 },
					{ DATA + 512 * (10 * q + i), 512,
					  GUEST_WRITE },
					{ STATUS + 10 * q + i, 1, GUEST_WRITE },
				};

				if (flush)
					b[1] = b[2];
				guest_add(&x->d, q, b, flush ? 2 : 3);
			}
			guest_kick(&x->d, q);
		}
		for (unsigned int q = 3; q > 0; q--) {
			for (unsigned int i = 0; i < 10; i++) {
				assert_true(guest_used(&x->d, q, &head, &len));
				assert_int_equal(len, flush ? 1 : 513);
			}
			assert_true(guest_fired(&x->d, q + 1) > 0);
		}
	}
	assert_memory_equal(guest_ptr(&x->g, DATA + 512 * 39, 512),
			    x->image + 300 * 512, 512);
	release(x);
	slow_is_done(x, id);
}

/* A section of several queues is not that of a device with one. */
static void test_other_queues_refused(void **state)
{
	struct fixture *x = *state;
	const struct device_ops *ops;
	struct snap_writer w = { 0 };
	struct snap_reader r;

	guest_start(&x->d, ALL_FEATURES, 4);
	x->device.ops->quiesce(x->device.state, INT64_MAX);
	assert_int_equal(x->device.ops->save(x->device.state, &w), 0);
	guest_destroy(&x->g, &x->device);
	assert_int_equal(virtio_blk_create(&x->device, &x->g.host, "disk0",
					   &x->disk, 1),
			 0);
	ops = x->device.ops;
	ops->quiesce(x->device.state, INT64_MAX);
	r = (struct snap_reader){ .data = w.data, .len = w.len };
	guest_log_begin(&x->g);
	assert_true(ops->load(x->device.state, &r) < 0);
	guest_log_end(&x->g);
	ops->resume(x->device.state);
	snap_writer_finish(&w);
}

#define TEST_FROM(start, label, function)                                     \
	{ label, function, start, teardown, (void *)&automatic },             \
	{                                                                     \
		label "-threads", function, start, teardown, (void *)&threads \
	}
#define TEST(label, function) TEST_FROM(setup, label, function)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST("blk-config", test_config),
		TEST("blk-read-write", test_read_write),
		TEST("blk-segments", test_segments),
		TEST("blk-batch", test_batch),
		TEST("blk-bounds", test_bounds),
		TEST_FROM(setup_read_only, "blk-read-only", test_read_only),
		TEST("blk-get-id", test_get_id),
		TEST("blk-discard-and-zeroes", test_discard_and_zeroes),
		TEST("blk-image-vanishes", test_image_vanishes),
		TEST("blk-malformed", test_malformed),
		TEST("blk-save-load", test_save_load),
		TEST("blk-load-hostile", test_load_hostile),
		TEST("blk-other-disk-refused", test_other_disk_refused),
		TEST("blk-blocks", test_blocks),
		TEST("blk-load-blocks", test_load_blocks),
		TEST("blk-out-of-order", test_out_of_order),
		TEST("blk-quiesce", test_quiesce),
		TEST("blk-quiesce-completes", test_quiesce_completes),
		TEST("blk-reset", test_reset),
		TEST("blk-master-off", test_master_off),
		TEST("blk-break-in-flight", test_break_in_flight),
		TEST("blk-destroy", test_destroy),
		TEST("blk-no-room", test_no_room),
		TEST("blk-write-through", test_write_through),
		TEST_FROM(setup_queues, "blk-queues", test_queues),
		TEST_FROM(setup_queues, "blk-other-queues-refused",
			  test_other_queues_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
