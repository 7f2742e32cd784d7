/* SPDX-License-Identifier: BSD-2-Clause */
/* arm64-image: valid and corrupt Image headers. */
#include <errno.h>

#include "tests/unit/arm64/image_sample.h"

/* Parses the first @len bytes of @b. */
static int parse(const uint8_t *b, size_t len, struct arm64_image *out)
{
	struct image image = { .fd = file_of(b, len),
			       .size_bytes = len,
			       .name = "k" };
	int err = arm64_image_parse(&image, out);

	close(image.fd);
	return err;
}

/* Parsing must return @err with one line that contains @words. */
static void refused(const uint8_t *b, size_t len, int err, const char *words)
{
	struct arm64_image out;
	struct capture capture;
	int got;

	capture_begin(&capture);
	got = parse(b, len, &out);
	capture_one_line(&capture, words);
	assert_int_equal(got, err);
}

/* A valid header is parsed; a signature behind the image is not loaded. */
static void test_whole(void **state)
{
	uint8_t b[SAMPLE_BYTES + 64 * 1024];
	struct arm64_image out;

	(void)state;
	memset(b, 0, sizeof(b));
	image_sample(b);
	assert_int_equal(parse(b, SAMPLE_BYTES, &out), 0);
	assert_int_equal(out.text_offset, 0);
	assert_int_equal(out.size_bytes, SAMPLE_SIZE);
	assert_int_equal(out.file_bytes, SAMPLE_BYTES);
	assert_int_equal(out.granule, ARM64_GRANULE_4K);
	assert_int_equal(parse(b, sizeof(b), &out), 0);
	assert_int_equal(out.file_bytes, SAMPLE_SIZE);
	/* Without an EFI stub: the length of the file. */
	b[0] = 0;
	assert_int_equal(parse(b, 4096, &out), 0);
	assert_int_equal(out.file_bytes, 4096);
}

/* Truncated anywhere: refused with one line. */
static void test_truncated(void **state)
{
	static const size_t lens[] = {
		1,
		63,
		64,
		SAMPLE_PE + 23,
		SAMPLE_SECTION_AT + 39,
		SAMPLE_SECTION_AT + 79,
		4096,
		8191,
		8192,
		SAMPLE_BYTES - 1,
	};
	uint8_t b[SAMPLE_BYTES];

	(void)state;
	image_sample(b);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++)
		refused(b, lens[i], -ENODATA, "truncated");
}

/* Other formats are named. */
static void test_other_files(void **state)
{
	uint8_t b[4096] = { 0 };

	(void)state;
	memcpy(b,
	       "\x7f"
	       "ELF\2\1\1",
	       7);
	b[18] = 62;
	refused(b, sizeof(b), -ENOEXEC, "x86-64");
	memset(b, 'a', sizeof(b));
	refused(b, sizeof(b), -ENOEXEC, "text");
	memset(b, 0, sizeof(b));
	refused(b, sizeof(b), -ENOEXEC, "not an arm64 Image");
	/* Instructions only: the missing header is named. */
	for (size_t i = 0; i < sizeof(b); i += 4)
		put_le32(b + i, 0xd503201f);
	refused(b, sizeof(b), -ENOEXEC,
		"no 64-byte header (\"ARM\\x64\" at byte 56");
}

/* Malformed headers and unsupported kernels. */
static void test_bad_header(void **state)
{
	uint8_t good[SAMPLE_BYTES], b[SAMPLE_BYTES];

	(void)state;
	image_sample(good);
	memcpy(b, good, sizeof(b));
	b[24] |= 1;
	refused(b, sizeof(b), -ENOEXEC, "big-endian");
	memcpy(b, good, sizeof(b));
	put_le64(b + 16, 0);
	refused(b, sizeof(b), -ENOEXEC, "3.17");
	memcpy(b, good, sizeof(b));
	put_le64(b + 8, 2 * MIB);
	refused(b, sizeof(b), -EINVAL, "text offset");
	put_le64(b + 8, 4);
	refused(b, sizeof(b), -EINVAL, "text offset");
	put_le64(b + 8, UINT64_MAX & ~4095ULL);
	refused(b, sizeof(b), -EINVAL, "text offset");
	memcpy(b, good, sizeof(b));
	b[SAMPLE_PE] = 'x';
	refused(b, sizeof(b), -EINVAL, "PE header");
	memcpy(b, good, sizeof(b));
	put_le16(b + SAMPLE_PE + 6, 0xffff);
	refused(b, sizeof(b), -EINVAL, "PE header");
	memcpy(b, good, sizeof(b));
	put_le32(b + 60, 0xfffffff0);
	refused(b, sizeof(b), -ENODATA, "truncated");
	memcpy(b, good, sizeof(b));
	put_le32(b + SAMPLE_SECTION_AT + 16, 0xffffffff);
	put_le32(b + SAMPLE_SECTION_AT + 20, 0xffffffff);
	refused(b, sizeof(b), -ENODATA, "section 0");
}

/* Any byte of the header: no crash, at most one line. */
static void test_every_byte(void **state)
{
	uint8_t b[SAMPLE_BYTES];

	(void)state;
	image_sample(b);
	for (size_t i = 0; i < SAMPLE_SECTION_AT + 80; i++) {
		for (int v = 0; v < 256; v += 51) {
			struct arm64_image out;
			struct capture capture;
			uint8_t old = b[i];
			int err, lines;

			b[i] = (uint8_t)v;
			capture_begin(&capture);
			err = parse(b, sizeof(b), &out);
			lines = capture_end(&capture);
			assert_int_equal(lines, err == 0 ? 0 : 1);
			b[i] = old;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_other_files),
		cmocka_unit_test(test_bad_header),
		cmocka_unit_test(test_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
