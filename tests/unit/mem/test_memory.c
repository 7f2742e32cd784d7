/* SPDX-License-Identifier: BSD-2-Clause */
/* The accessor of guest memory: bounds, holes, population. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/base/capture.h"
#include "vmm/mem/memory.h"

#define LOW  UINT64_C(0x10000)
#define HIGH UINT64_C(0x100000000)

/* Two ranges with a hole between them. */
static void open_memory(struct memory *memory)
{
	const struct memory_range ranges[] = { { LOW, 0x10000 },
					       { HIGH, 0x8000 } };
	const struct memory_config config = { .backing = MEMORY_ANON,
					      .ranges = ranges,
					      .range_count = 2 };

	assert_int_equal(memory_init(memory, &config, NULL), 0);
}

/* What is written is read, in both ranges, up to their last byte. */
static void reads_what_was_written(void **state)
{
	struct memory memory;
	char got[4];

	(void)state;
	open_memory(&memory);
	assert_int_equal(memory.size_bytes, 0x18000);
	assert_int_equal(memory_write(&memory, LOW + 0xfffc, "abcd", 4), 0);
	assert_int_equal(memory_write(&memory, HIGH, "efgh", 4), 0);
	assert_int_equal(memory_read(&memory, LOW + 0xfffc, got, 4), 0);
	assert_memory_equal(got, "abcd", 4);
	assert_int_equal(memory_read(&memory, HIGH, got, 4), 0);
	assert_memory_equal(got, "efgh", 4);
	memory_finish(&memory);
}

/* Nothing outside RAM, across its ends, or around the end of 64 bits. */
static void refuses_what_is_no_ram(void **state)
{
	static const struct {
		gpa_t gpa;
		uint64_t len;
	} bad[] = {
		{ 0, 1 },
		{ LOW - 1, 1 },
		{ LOW - 1, 2 },
		{ LOW + 0xffff, 2 },
		{ LOW + 0x10000, 1 },
		{ HIGH - 1, 1 },
		{ HIGH + 0x7fff, 2 },
		{ LOW, UINT64_MAX },
		{ LOW, HIGH - LOW + 1 },
		{ UINT64_MAX, 1 },
		{ UINT64_MAX - 3, 8 },
		{ LOW + 8, UINT64_MAX - 8 },
	};
	struct memory memory;
	char byte[8];
	void *hva;

	(void)state;
	open_memory(&memory);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(memory_map(&memory, bad[i].gpa, bad[i].len,
					    &hva),
				 -EFAULT);
		assert_null(memory_find(&memory, bad[i].gpa, bad[i].len));
	}
	assert_int_equal(memory_read(&memory, LOW - 1, byte, 2), -EFAULT);
	memory_finish(&memory);
}

/* Pages of RAM are numbered through, over the hole. */
static void numbers_pages(void **state)
{
	struct memory memory;

	(void)state;
	open_memory(&memory);
	assert_int_equal(memory_page(&memory.regions[0], LOW + 0x1fff), 1);
	assert_int_equal(memory_page(&memory.regions[1], HIGH), 16);
	assert_ptr_equal(memory_region_of_page(&memory, 15),
			 &memory.regions[0]);
	assert_ptr_equal(memory_region_of_page(&memory, 16),
			 &memory.regions[1]);
	assert_null(memory_region_of_page(&memory, 24));
	memory_finish(&memory);
}

struct asked {
	gpa_t gpa;
	uint64_t len;
	int answer;
};

static int populate(void *ctx, gpa_t gpa, uint64_t len_bytes)
{
	struct asked *asked = ctx;

	asked->gpa = gpa;
	asked->len = len_bytes;
	return asked->answer;
}

/* The populator is asked first, and its error is the caller's. */
static void populates_first(void **state)
{
	struct memory memory;
	struct asked asked = { .answer = 0 };
	char byte;

	(void)state;
	open_memory(&memory);
	memory.populator = (struct memory_populator){ populate, &asked };
	assert_int_equal(memory_read(&memory, HIGH + 5, &byte, 1), 0);
	assert_int_equal(asked.gpa, HIGH + 5);
	assert_int_equal(asked.len, 1);
	asked = (struct asked){ .answer = -EIO };
	assert_int_equal(memory_read(&memory, LOW, &byte, 1), -EIO);
	asked.gpa = 1;
	/* What is no RAM is not asked for. */
	assert_int_equal(memory_read(&memory, 0, &byte, 1), -EFAULT);
	assert_int_equal(asked.gpa, 1);
	memory_finish(&memory);
}

/* A file that ends early has an errno of its own. */
static void loads_from_files(void **state)
{
	struct memory memory;
	int fd = memfd_create("test", MFD_CLOEXEC);
	char got[3];

	(void)state;
	open_memory(&memory);
	assert_int_equal(write(fd, "0123456789", 10), 10);
	assert_int_equal(memory_load_fd(&memory, LOW, 3, fd, 7), 0);
	assert_int_equal(memory_read(&memory, LOW, got, 3), 0);
	assert_memory_equal(got, "789", 3);
	assert_int_equal(memory_load_fd(&memory, LOW, 4, fd, 7), -ENODATA);
	close(fd);
	assert_int_equal(memory_load_fd(&memory, LOW, 1, fd, 0), -EBADF);
	memory_finish(&memory);
}

/* What a host with larger pages cannot map is refused in one line. */
static void whole_pages_of_host(void **state)
{
	const struct memory_range ranges[] = {
		{ LOW, 17 * PAGE_BYTES },
		{ LOW + PAGE_BYTES, 16 * PAGE_BYTES },
		{ LOW, 16 * PAGE_BYTES },
	};
	struct memory_config config = { .backing = MEMORY_ANON,
					.range_count = 1,
					.granule_pages = 16 };
	struct memory memory;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		struct capture capture;
		const char *text;
		int r;

		config.ranges = &ranges[i];
		capture_start(&capture, STDERR_FILENO);
		r = memory_init(&memory, &config, NULL);
		text = capture_end(&capture);
		assert_int_equal(r, i < 2 ? -EINVAL : 0);
		assert_int_equal(strstr(text, "the host page size, 64 KiB") !=
					 NULL,
				 i < 2);
	}
	memory_finish(&memory);
}

/* KVM can map large pages: both addresses agree modulo their size. */
static void addresses_agree(void **state)
{
	static const struct memory_range ranges[] = {
		{ 0, 3 * MIB },
		{ UINT64_C(0x40100000), 5 * MIB },
		{ UINT64_C(0x100000000), 8 * GIB },
	};
	static const uint64_t sizes[] = { 2 * MIB, 2 * MIB, GIB };
	const struct memory_config config = { .backing = MEMORY_ANON,
					      .ranges = ranges,
					      .range_count = 3 };
	struct memory memory;

	(void)state;
	assert_int_equal(memory_init(&memory, &config, NULL), 0);
	for (unsigned int i = 0; i < memory.region_count; i++) {
		const struct memory_region *region = &memory.regions[i];

		assert_int_equal((uintptr_t)region->hva % sizes[i],
				 region->gpa % sizes[i]);
		/* All of it is there, up to the last byte. */
		assert_int_equal(memory_write(&memory,
					      region->gpa + region->size_bytes -
						      1,
					      "x", 1),
				 0);
		assert_int_equal(memory_write(&memory, region->gpa, "x", 1), 0);
	}
	memory_finish(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_was_written),
		cmocka_unit_test(refuses_what_is_no_ram),
		cmocka_unit_test(numbers_pages),
		cmocka_unit_test(populates_first),
		cmocka_unit_test(loads_from_files),
		cmocka_unit_test(whole_pages_of_host),
		cmocka_unit_test(addresses_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
