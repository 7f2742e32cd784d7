/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arm64-unpack: valid, truncated and corrupt gzip, zstd and zboot images.  A
 * compression that the build lacks must be refused by name.
 */
#include <errno.h>
#include <stdlib.h>
#ifdef THAW_ZLIB
#include <zlib.h>
#endif
#ifdef THAW_ZSTD
#include <zstd.h>
#endif

#include "tests/unit/arm64/image_sample.h"
#include "vmm/arch.h"

#define ROOM  (4 * SAMPLE_BYTES)
#define ZBOOT 64 /* offset of the payload */

/* A compressed kernel. */
struct packed {
	uint8_t b[ROOM];
	size_t len;
};

/* A compression, by its zboot name. */
struct kind {
	const char *name;
	bool (*pack)(const uint8_t *from, size_t len, struct packed *to);
};

#ifdef THAW_ZLIB
static bool pack_gzip(const uint8_t *from, size_t len, struct packed *to)
{
	z_stream z = { 0 };

	if (deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	z.next_in = (uint8_t *)(uintptr_t)from;
	z.avail_in = (uInt)len;
	z.next_out = to->b;
	z.avail_out = sizeof(to->b);
	if (deflate(&z, Z_FINISH) != Z_STREAM_END)
		return false;
	to->len = z.total_out;
	return deflateEnd(&z) == Z_OK;
}
#endif

#ifdef THAW_ZSTD
static bool pack_zstd(const uint8_t *from, size_t len, struct packed *to)
{
	to->len = ZSTD_compress(to->b, sizeof(to->b), from, len, 3);
	return !ZSTD_isError(to->len);
}
#endif

static const struct kind kinds[] = {
#ifdef THAW_ZLIB
	{ "gzip", pack_gzip },
#endif
#ifdef THAW_ZSTD
	{ "zstd", pack_zstd },
#endif
	{ NULL, NULL },
};

/* Decompresses @len bytes at @b; the descriptor, or -errno. */
static int unpack(const uint8_t *b, size_t len, uint64_t limit,
		  struct image *image)
{
	int in = file_of(b, len);
	int fd;

	*image = (struct image){ .fd = in, .size_bytes = len, .name = "k" };
	fd = arm64_image_unpack(image, limit);
	close(in);
	return fd;
}

static void refused(const uint8_t *b, size_t len, uint64_t limit, int err,
		    const char *words)
{
	struct capture capture;
	struct image image;
	int got;

	capture_begin(&capture);
	got = unpack(b, len, limit, &image);
	capture_one_line(&capture, words);
	assert_int_equal(got, err);
}

/* The output equals the input. */
static void check_unpacks(const uint8_t *b, size_t len, const uint8_t *want)
{
	uint8_t got[SAMPLE_BYTES];
	struct image image;
	int fd = unpack(b, len, SAMPLE_BYTES, &image);

	assert_true(fd >= 0);
	assert_int_equal(image.fd, fd);
	assert_int_equal(image.size_bytes, SAMPLE_BYTES);
	assert_int_equal(pread(fd, got, sizeof(got), 0), sizeof(got));
	assert_memory_equal(got, want, sizeof(got));
	close(fd);
}

/* Makes a zboot image, with trailing bytes as a signature. */
static void make_zboot(struct packed *to, const char *name,
		       const struct packed *payload)
{
	memset(to, 0, sizeof(*to));
	memcpy(to->b, "MZ\0\0zimg", 8);
	put_le32(to->b + 8, ZBOOT);
	put_le32(to->b + 12, (uint32_t)payload->len);
	strncpy((char *)to->b + 24, name, 32);
	memcpy(to->b + ZBOOT, payload->b, payload->len);
	to->len = ZBOOT + payload->len + 512;
}

/*
 * Plain and zboot files are decompressed; the bytes after the stream are
 * ignored.
 */
static void test_whole(void **state)
{
	uint8_t plain[SAMPLE_BYTES];
	struct packed p, z;

	(void)state;
	image_sample(plain);
	for (const struct kind *k = kinds; k->name != NULL; k++) {
		memset(&p, 0, sizeof(p));
		assert_true(k->pack(plain, sizeof(plain), &p));
		check_unpacks(p.b, p.len, plain);
		check_unpacks(p.b, p.len + 1000, plain);
		make_zboot(&z, k->name, &p);
		check_unpacks(z.b, z.len, plain);
	}
}

/* Truncated anywhere: refused. */
static void test_truncated(void **state)
{
	uint8_t plain[SAMPLE_BYTES];
	struct packed p, z;

	(void)state;
	image_sample(plain);
	for (const struct kind *k = kinds; k->name != NULL; k++) {
		assert_true(k->pack(plain, sizeof(plain), &p));
		for (size_t len = 4; len < p.len; len += 97)
			refused(p.b, len, SAMPLE_BYTES, -ENODATA, "truncated");
		make_zboot(&z, k->name, &p);
		refused(z.b, ZBOOT + p.len - 1, SAMPLE_BYTES, -ENODATA,
			"truncated");
		/* The header's length is shorter than the stream. */
		put_le32(z.b + 12, (uint32_t)p.len - 20);
		refused(z.b, z.len, SAMPLE_BYTES, -ENODATA, "truncated");
		put_le32(z.b + 8, 0xffffffff);
		refused(z.b, z.len, SAMPLE_BYTES, -ENODATA, "truncated");
	}
}

/* More output than the guest's memory is refused before it is written. */
static void test_too_large(void **state)
{
	uint8_t plain[SAMPLE_BYTES];
	struct packed p;

	(void)state;
	image_sample(plain);
	for (const struct kind *k = kinds; k->name != NULL; k++) {
		assert_true(k->pack(plain, sizeof(plain), &p));
		refused(p.b, p.len, SAMPLE_BYTES - 1, -EFBIG, "memory");
	}
}

/* A flipped byte: one line, or the same output. */
static void test_damaged(void **state)
{
	uint8_t plain[SAMPLE_BYTES];
	struct packed p;
	int bad = 0;

	(void)state;
	image_sample(plain);
	for (const struct kind *k = kinds; k->name != NULL; k++) {
		assert_true(k->pack(plain, sizeof(plain), &p));
		bad = 0;
		for (size_t i = 4; i < p.len; i += p.len / 300 + 1) {
			struct capture capture;
			struct image image;
			int fd, lines;

			p.b[i] ^= 0x55;
			capture_begin(&capture);
			fd = unpack(p.b, p.len, SAMPLE_BYTES, &image);
			lines = capture_end(&capture);
			assert_int_equal(lines, fd < 0 ? 1 : 0);
			bad += fd < 0;
			if (fd >= 0)
				close(fd);
			p.b[i] ^= 0x55;
		}
		assert_true(bad > 0);
	}
}

/* An uncompressed file: -EAGAIN, silent. */
static void test_plain(void **state)
{
	uint8_t plain[SAMPLE_BYTES];
	struct capture capture;
	struct image image;
	int fd;

	(void)state;
	image_sample(plain);
	capture_begin(&capture);
	fd = unpack(plain, sizeof(plain), SAMPLE_BYTES, &image);
	assert_int_equal(capture_end(&capture), 0);
	assert_int_equal(fd, -EAGAIN);
	assert_int_equal(image.size_bytes, sizeof(plain));
}

/* Unsupported compressions are named. */
static void test_unknown(void **state)
{
	static const struct {
		const char *magic, *name;
	} unknown[] = {
		{ "\xfd"
		  "7zXZ",
		  "xz" },
		{ "BZh9", "bzip2" },
		{ "\x02\x21\x4c\x18", "lz4" },
		{ "\x89LZO", "lzo" },
#ifndef THAW_ZLIB
		{ "\x1f\x8b\x08", "gzip" },
#endif
#ifndef THAW_ZSTD
		{ "\x28\xb5\x2f\xfd", "zstd" },
#endif
	};
	struct packed p = { .len = 1000 }, z;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		strcpy((char *)p.b, unknown[i].magic);
		refused(p.b, p.len, SAMPLE_BYTES, -ENOEXEC, unknown[i].name);
	}
	make_zboot(&z, "xzkern", &p);
	refused(z.b, z.len, SAMPLE_BYTES, -ENOEXEC, "xz");
	make_zboot(&z, "new\x1b[2Jkind", &p);
	refused(z.b, z.len, SAMPLE_BYTES, -ENOEXEC, "\"new?[2Jkind\"");
	memset(z.b + 24, 'a', 40);
	refused(z.b, z.len, SAMPLE_BYTES, -ENOEXEC, "not supported");
}

/* The release of @len bytes at @b. */
static void check_release(const uint8_t *b, size_t len)
{
	char release[KERNEL_RELEASE_BYTES];
	struct image image;

	assert_int_equal(image_init(&image, file_of(b, len), "k"), 0);
	assert_int_equal(arch_kernel_release(&image, release), 0);
	assert_string_equal(release, "6.1.0-50-arm64");
	close(image.fd);
}

/* The banner of an Image, plain or compressed, also in a zboot image. */
static void test_release(void **state)
{
	static const char banner[] = "Linux version 6.1.0-50-arm64 (x)";
	uint8_t plain[SAMPLE_BYTES];
	struct packed p, z;

	(void)state;
	image_sample(plain);
	memcpy(plain + 5000, banner, sizeof(banner));
	check_release(plain, sizeof(plain));
	for (const struct kind *k = kinds; k->name != NULL; k++) {
		assert_true(k->pack(plain, sizeof(plain), &p));
		check_release(p.b, p.len);
		make_zboot(&z, k->name, &p);
		check_release(z.b, z.len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_release),
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
