/* SPDX-License-Identifier: BSD-2-Clause */
/* SHA-256 against the examples that NIST published with FIPS 180-4. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/base/bytes.h"
#include "vmm/base/sha256.h"

static void finish_text(struct sha256 *hash, char text[2 * SHA256_BYTES + 1])
{
	uint8_t bytes[SHA256_BYTES];

	sha256_finish(hash, bytes);
	for (size_t i = 0; i < SHA256_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

/* The hash of @times copies of @part. */
static void is_hash(const char *part, size_t times, const char *want)
{
	struct sha256 hash;
	char text[2 * SHA256_BYTES + 1];

	sha256_init(&hash);
	for (size_t i = 0; i < times; i++)
		sha256_update(&hash, part, strlen(part));
	finish_text(&hash, text);
	assert_string_equal(text, want);
}

static void examples(void **state)
{
	(void)state;
	is_hash("", 1,
		"e3b0c44298fc1c149afbf4c8996fb924"
		"27ae41e4649b934ca495991b7852b855");
	is_hash("abc", 1,
		"ba7816bf8f01cfea414140de5dae2223"
		"b00361a396177a9cb410ff61f20015ad");
	is_hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
		"248d6a61d20638b8e5c026930c3e6039"
		"a33ce45964ff2167f6ecedd419db06c1");
	is_hash("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
		"hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
		1,
		"cf5b16a778af8380036ce59e7b049237"
		"0b249b11e8f07a51afac45037afee9d1");
	is_hash("a", 1000000,
		"cdc76e5c9914fb9281a1c7e284d73e67"
		"f1809a48a497200e046d39ccc7112cd0");
}

/* Every length up to three blocks, cut in two at every place. */
static void in_pieces(void **state)
{
	uint8_t bytes[3 * SHA256_BLOCK_BYTES];
	char whole[2 * SHA256_BYTES + 1], cut[2 * SHA256_BYTES + 1];
	struct sha256 hash;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 37 + 11);
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		sha256_init(&hash);
		for (size_t i = 0; i < len; i++)
			sha256_update(&hash, bytes + i, 1);
		finish_text(&hash, whole);
		for (size_t at = 0; at <= len; at++) {
			sha256_init(&hash);
			sha256_update(&hash, bytes, at);
			sha256_update(&hash, bytes + at, len - at);
			finish_text(&hash, cut);
			assert_string_equal(cut, whole);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples),
		cmocka_unit_test(in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
