/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mutated snapshots: each is refused with one line, or restores the guest that
 * was saved. Never a wrong byte, a crash, or two lines.
 *
 * Half of the changes to a header include a corrected checksum, like a
 * malicious file, so the checks behind the checksum are tested as well.
 * THAW_MUTATIONS is the number of mutations; the seed of each is its number.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "vmm/base/bytes.h"
#include "vmm/base/crc32c.h"

#define MUTATIONS 3000

static const char *const names[] = { "state", "pages", "memory", "workingset" };

/* A file of the snapshot, original and mutated. */
struct victim {
	const char *name;
	uint8_t *good, *bad;
	size_t len, bad_len;
};

/* Boundary values of fields. */
static uint64_t absurd(unsigned int *seed)
{
	static const uint64_t values[] = { 0,
					   1,
					   2,
					   255,
					   256,
					   4095,
					   4096,
					   4097,
					   65536,
					   INT32_MAX,
					   UINT32_MAX,
					   UINT64_C(1) << 32,
					   UINT64_C(1) << 52,
					   INT64_MAX,
					   UINT64_C(1) << 63,
					   UINT64_MAX,
					   UINT64_MAX - 4095 };

	return values[(unsigned int)rand_r(seed) % ARRAY_SIZE(values)];
}

static size_t somewhere(const struct victim *v, size_t len, unsigned int *seed)
{
	size_t limit = v->bad_len >= len ? v->bad_len - len + 1 : 1;

	/* Most mutations are in headers. */
	if (rand_r(seed) % 2 && limit > 256)
		limit = 256;
	return (size_t)rand_r(seed) % limit;
}

static void flip_bits(struct victim *v, unsigned int *seed)
{
	for (int n = rand_r(seed) % 4; n >= 0; n--)
		v->bad[somewhere(v, 1, seed)] ^=
			(uint8_t)(1 << rand_r(seed) % 8);
}

static void truncate_it(struct victim *v, unsigned int *seed)
{
	v->bad_len = somewhere(v, 1, seed);
}

static void lengthen_it(struct victim *v, unsigned int *seed)
{
	size_t more = 1 + (size_t)rand_r(seed) % 5000;

	memset(v->bad + v->len, rand_r(seed), more);
	v->bad_len = v->len + more;
}

static void move_a_piece(struct victim *v, unsigned int *seed)
{
	size_t len = 1 + (size_t)rand_r(seed) % 64;

	if (v->bad_len > len)
		memmove(v->bad + somewhere(v, len, seed),
			v->bad + somewhere(v, len, seed), len);
}

static void absurd_field(struct victim *v, unsigned int *seed)
{
	unsigned int size = rand_r(seed) % 2 ? 8 : 4;
	size_t at = somewhere(v, size, seed) & ~(size_t)3;

	if (v->bad_len >= at + size)
		put_le(v->bad + at, absurd(seed), size);
}

static void (*const changes[])(struct victim *v, unsigned int *seed) = {
	flip_bits,    truncate_it,  lengthen_it,
	move_a_piece, absurd_field, absurd_field,
};

/* Corrects the checksums of `state`, except those of section contents. */
static void forge_state(struct victim *v)
{
	size_t header = v->bad_len < 16 ? 0 : get_le32(v->bad + 12);
	size_t good_header = get_le32(v->good + 12);

	if (header < 8 || header > v->bad_len)
		return;
	put_le32(v->bad + header - 4, crc32c(0, v->bad, header - 4));
	/* The first section's header, when its bytes are as they were. */
	if (v->bad_len == v->len && header == good_header) {
		uint8_t *s = v->bad + header;
		uint64_t len = get_le64(s + 16);

		if (range_within(header + 32, len, v->bad_len) &&
		    !memcmp(s + 32, v->good + header + 32,
			    get_le64(v->good + header + 16)))
			put_le32(s + 28, crc32c(crc32c(0, s, 28), s + 32, len));
	}
}

/* Corrects the checksums of `pages`, of header and runs. */
static void forge_pages(struct victim *v)
{
	uint64_t runs;

	if (v->bad_len < 88)
		return;
	runs = get_le64(v->bad + 48);
	if (runs < 100000 && range_within(88, runs * 16, v->bad_len))
		put_le32(v->bad + 80, crc32c(0, v->bad + 88, runs * 16));
	put_le32(v->bad + 84, crc32c(0, v->bad, 84));
}

static void forge_workingset(struct victim *v)
{
	if (v->bad_len >= 56)
		put_le32(v->bad + 52, crc32c(0, v->bad, 52));
}

/* Opens, compares, verifies, reads the working set; the first error. */
static int use_it(const char *path)
{
	uint64_t *pages = NULL, count;
	struct snap_file f;
	int err = check_guest(path, 1);

	if (err)
		return err;
	err = snap_open(&f, path, ARCH);
	if (!err)
		err = snap_verify(&f, NULL, NULL);
	if (!err)
		err = snap_workingset_read(&f, &pages, &count);
	for (uint64_t i = 0; !err && i < count; i++)
		err = pages[i] < PAGES ? 0 : -EILSEQ;
	free(pages);
	snap_close(&f);
	return err;
}

/* Applies one change to one file; returns whether it was refused. */
static bool one_mutation(const char *path, struct victim *v, unsigned int n)
{
	unsigned int seed = n, lines, more;
	struct caught caught;
	int err;

	memcpy(v->bad, v->good, v->len);
	v->bad_len = v->len;
	for (more = (unsigned int)rand_r(&seed) % 3; more < 3; more++)
		changes[(unsigned int)rand_r(&seed) % ARRAY_SIZE(changes)](
			v, &seed);
	if (rand_r(&seed) % 2) {
		if (!strcmp(v->name, "state"))
			forge_state(v);
		else if (!strcmp(v->name, "pages"))
			forge_pages(v);
		else if (!strcmp(v->name, "workingset"))
			forge_workingset(v);
	}
	write_file(path, v->name, v->bad, v->bad_len);
	catch_lines(&caught);
	err = use_it(path);
	lines = release_lines(&caught);
	if (err == -EILSEQ || lines != (err != 0))
		fail_msg("mutation %u of %s: %d, %u lines", n, v->name, err,
			 lines);
	return err != 0;
}

static void changed_snapshots(void **state)
{
	static const uint64_t pages[] = { 9, 8, 7, 1, 200 };
	const char *wish = getenv("THAW_MUTATIONS");
	unsigned int count = wish ? (unsigned int)atoi(wish) : MUTATIONS;
	char *dir = fixture_dir(), *path = path_in(dir, "snap");
	struct victim victims[ARRAY_SIZE(names)];
	struct snap_file f;
	unsigned int refused = 0;

	(void)state;
	assert_int_equal(save_guest(path, 1), 0);
	assert_int_equal(snap_open(&f, path, ARCH), 0);
	assert_int_equal(snap_workingset_write(&f, pages, 5), 0);
	snap_close(&f);
	assert_int_equal(use_it(path), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct victim *v = &victims[i];

		v->name = names[i];
		v->good = read_file(path, v->name, &v->len);
		v->bad = malloc(v->len + 8192);
		assert_non_null(v->bad);
	}
	for (unsigned int n = 0; n < count; n++) {
		struct victim *v = &victims[n % ARRAY_SIZE(names)];

		/* `memory` is large and is not parsed. */
		if (n % 16 == 2 || strcmp(v->name, "memory")) {
			refused += one_mutation(path, v, n);
			write_file(path, v->name, v->good, v->len);
		}
	}
	print_message("%u of %u refused\n", refused, count);
	assert_true(refused > count / 3);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		free(victims[i].good);
		free(victims[i].bad);
	}
	assert_int_equal(use_it(path), 0);
	free(path);
	fixture_clean(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changed_snapshots),
	};

	return cmocka_run_group_tests_name("snap-mutation", tests, NULL, NULL);
}
