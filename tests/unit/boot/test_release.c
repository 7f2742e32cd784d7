/* SPDX-License-Identifier: BSD-2-Clause */
/* boot-release: the banner of a kernel, wherever it lies. */
#include <stdlib.h>

#include "tests/unit/boot/helper.h"
#include "vmm/boot/release.h"

#define BANNER "Linux version 6.1.0-50-cloud-amd64 (builder) #1 SMP"

/* The release of a file of @len bytes that has @text at @at. */
static void check(size_t len, size_t at, const char *text, const char *want)
{
	char release[KERNEL_RELEASE_BYTES] = "not set";
	uint8_t *b = calloc(1, len);
	struct image image;

	assert_non_null(b);
	memcpy(b, "Linux version %s (%s)", 21);
	memcpy(b + at, text, strlen(text));
	assert_int_equal(image_init(&image, file_of(b, len), "k"), 0);
	assert_int_equal(image_release(&image, release), 0);
	assert_string_equal(release, want);
	close(image.fd);
	free(b);
}

/* Also across the borders of the pieces that are read. */
static void test_places(void **state)
{
	(void)state;
	check(4096, 64, BANNER, "6.1.0-50-cloud-amd64");
	for (size_t at = 65536 - 80; at <= 65536 + 80; at++)
		check(200000, at, BANNER, "6.1.0-50-cloud-amd64");
	check(65536 + 300, 65536 + 300 - strlen(BANNER), BANNER,
	      "6.1.0-50-cloud-amd64");
	/* Before, at and after the place where the search begins: 262144. */
	for (size_t at = 262144 - 80; at <= 262144 + 80; at += 5)
		check(1000000, at, BANNER, "6.1.0-50-cloud-amd64");
	check(1000000, 100, BANNER, "6.1.0-50-cloud-amd64");
	check(1000000, 999900, BANNER, "6.1.0-50-cloud-amd64");
}

static void test_none(void **state)
{
	(void)state;
	check(4096, 64, "no banner", "");
	check(4096, 64, "Linux version x.y (", "");
	check(4096, 64, "Linux version 6.1/../.. (", "");
	check(4096, 64, "Linux version 6.1\n (", "");
	/* It is cut off by the end of the file. */
	check(64 + 17, 64, "Linux version 6.1", "");
}

/* A release has at most 64 characters. */
static void test_long(void **state)
{
	char release[KERNEL_RELEASE_BYTES], text[80];

	(void)state;
	memset(text, '6', sizeof(text));
	text[64] = ' ';
	assert_true(release_parse(text, sizeof(text), release));
	assert_int_equal(strlen(release), 64);
	assert_false(release_parse(text, 64, release));
	assert_string_equal(release, "");
	text[64] = '6';
	text[65] = ' ';
	assert_false(release_parse(text, sizeof(text), release));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
