/* SPDX-License-Identifier: BSD-2-Clause */
/* boot-image: opening files, naming what they are, placing an initrd. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/unit/boot/helper.h"

/* What cannot be a kernel is refused when it is opened. */
static void test_open(void **state)
{
	char dir[] = "/tmp/boot-image-XXXXXX", path[64];
	struct capture c;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	capture_begin(&c);
	assert_int_equal(image_open("kernel", dir), -EISDIR);
	capture_one_line(&c, "is a directory");

	snprintf(path, sizeof(path), "%s/none", dir);
	capture_begin(&c);
	assert_int_equal(image_open("initrd", path), -ENOENT);
	capture_one_line(&c, "open initrd ");

	snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	capture_begin(&c);
	assert_int_equal(image_open("kernel", path), -EINVAL);
	capture_one_line(&c, "not a regular file");
	unlink(path);

	snprintf(path, sizeof(path), "%s/file", dir);
	fclose(fopen(path, "w"));
	capture_begin(&c);
	assert_int_equal(image_open("kernel", path), -EINVAL);
	capture_one_line(&c, "empty");
	assert_int_equal(truncate(path, 1), 0);
	fd = image_open("kernel", path);
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
	rmdir(dir);
}

/* Reads end at the end of the file, with a line. */
static void test_read(void **state)
{
	struct image image;
	struct capture c;
	char b[8];

	(void)state;
	assert_int_equal(image_init(&image, file_of("abcdef", 6), "six"), 0);
	assert_int_equal(image.size_bytes, 6);
	assert_int_equal(image_read(&image, 2, b, 4), 0);
	assert_memory_equal(b, "cdef", 4);
	assert_int_equal(image_head(&image, (uint8_t *)b, 8), 6);
	capture_begin(&c);
	assert_int_equal(image_read(&image, 2, b, 5), -ENODATA);
	capture_one_line(&c, "six: truncated");
	capture_begin(&c);
	assert_int_equal(image_read(&image, UINT64_MAX, b, 2), -ENODATA);
	capture_one_line(&c, "truncated");
	/* A file that shrank since. */
	assert_int_equal(ftruncate(image.fd, 3), 0);
	capture_begin(&c);
	assert_int_equal(image_read(&image, 2, b, 4), -ENODATA);
	capture_one_line(&c, "truncated");
	close(image.fd);
}

/* Each format has its words, at any length of what was seen. */
static void test_describe(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *words;
	} rows[] = {
		{ "\x1f\x8b\x08", 3, "a gzip file" },
		{ "\xfd"
		  "7zXZ\0",
		  6, "an xz file" },
		{ "BZh9", 4, "a bzip2 file" },
		{ "\x28\xb5\x2f\xfd", 4, "a zstd file" },
		{ "\x02\x21\x4c\x18", 4, "an lz4 file" },
		{ "\x04\x22\x4d\x18", 4, "an lz4 file" },
		{ "\x5d\0\0\0\1", 5, "an lzma file" },
		{ "MZ\0\0zimg", 8, "zboot" },
		{ "MZ\0\0", 4, "a PE/EFI image" },
		{ "070701000", 9, "cpio" },
		{ "#!/bin/sh\n", 10, "a text file" },
		{ "\xc3\xa4\n", 3, "a text file" },
		{ "\0\0\0", 3, "an all-zero file" },
		{ "\1\2\3", 3, "not a kernel image" },
		{ "", 0, "not a kernel image" },
		{ "\177ELF", 4, "truncated ELF" },
	};
	uint8_t head[IMAGE_HEAD_BYTES] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *words =
			image_describe((const uint8_t *)rows[i].bytes,
				       rows[i].len);

		if (!strstr(words, rows[i].words))
			fail_msg("%s, not %s", words, rows[i].words);
	}
	memcpy(head + 0x38, "ARMd", 4);
	assert_string_equal(image_describe(head, 0x3c), "an arm64 Image");
	assert_string_equal(image_describe(head, 0x3b), "not a kernel image");
	memset(head, 0, sizeof(head));
	memcpy(head, "MZ", 2);
	memcpy(head + 0x202, "HdrS", 4);
	assert_string_equal(image_describe(head, 0x206), "an x86 bzImage");
}

/* Where an initrd of @size goes, or -errno with one line. */
static int64_t place(struct memory *memory, uint64_t size, gpa_t floor,
		     gpa_t limit)
{
	struct plan plan = { 0 };
	struct image image = { .fd = file_of("x", 1),
			       .size_bytes = size,
			       .name = "i" };
	struct capture c;
	gpa_t gpa;
	int err;

	capture_begin(&c);
	err = initrd_add(&plan, memory, &image, floor, limit, &gpa);
	if (err)
		capture_one_line(&c, "initrd i: ");
	else
		assert_int_equal(capture_end(&c), 0);
	if (!err)
		assert_non_null(plan_find(&plan, gpa, 1));
	close(image.fd);
	plan_finish(&plan);
	return err ? err : (int64_t)gpa;
}

/* As high as it fits, above the floor and below the limit. */
static void test_initrd(void **state)
{
	struct memory memory;

	(void)state;
	ram_init(&memory, 16 * MIB, 16 * MIB);
	assert_int_equal(place(&memory, 1, 0, UINT64_MAX),
			 4 * GIB + 16 * MIB - 4096);
	assert_int_equal(place(&memory, 4097, 0, 4 * GIB), 16 * MIB - 8192);
	assert_int_equal(place(&memory, 4096, 0, 0x3001), 0x2000);
	assert_int_equal(place(&memory, 4096, 0x2000, 0x3001), 0x2000);
	assert_int_equal(place(&memory, 4096, 0x2001, 0x3001), -EFBIG);
	assert_int_equal(place(&memory, 16 * MIB, 0, 4 * GIB), 0);
	assert_int_equal(place(&memory, 16 * MIB + 1, 0, 4 * GIB), -EFBIG);
	assert_int_equal(place(&memory, UINT64_MAX, 0, 4 * GIB), -EFBIG);
	assert_int_equal(place(&memory, 1, UINT64_MAX, UINT64_MAX), -EFBIG);
	memory_finish(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_describe),
		cmocka_unit_test(test_initrd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
