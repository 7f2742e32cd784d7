/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Snapshots with a base: what is read from which, and what is not accepted as one.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "tests/unit/base/capture.h"
#include "vmm/snap/save.h"

#define PAGE SNAP_PAGE_BYTES

static int set_up(void **state)
{
	*state = fixture_dir();
	return 0;
}

static int tear_down(void **state)
{
	fixture_clean(*state);
	return 0;
}

/* Saves page @page filled with @byte on the base, NULL: none. */
static void save_page(const char *path, const char *base, uint64_t page,
		      int byte)
{
	struct snap_save_config config = {
		.path = path, .arch = ARCH, .ranges = ranges, .range_count = 2
	};
	uint8_t data[PAGE];
	struct snap_file file;
	struct snap_save *save;

	memset(data, byte, sizeof(data));
	if (base) {
		assert_int_equal(snap_open(&file, base, ARCH), 0);
		config.base = &file;
		config.base_name = strrchr(base, '/') + 1;
	}
	assert_int_equal(snap_save_begin(&save, &config), 0);
	if (base)
		snap_close(&file);
	assert_int_equal(snap_save_pages(save, page, 1, data), 0);
	assert_int_equal(snap_save_commit(save), 0);
}

/* The byte that page @page of a snapshot is filled with. */
static int byte_of(const struct snap_file *f, uint64_t page)
{
	uint8_t data[PAGE];

	if (!run_of(f, page))
		return 0;
	assert_int_equal(snap_read_pages(f, page, 1, data), 0);
	for (size_t i = 1; i < sizeof(data); i++)
		assert_int_equal(data[i], data[0]);
	return data[0];
}

static void pages_come_from_where_they_are(void **state)
{
	char *a = path_in(*state, "a"), *b = path_in(*state, "b");
	char *c = path_in(*state, "c"), *d = path_in(*state, "d");
	char *flat = path_in(*state, "flat");
	struct snap_file f;
	struct stat st;
	char *memory;

	save_page(a, NULL, 10, 1);
	save_page(b, a, 11, 2);
	save_page(c, b, 10, 3);
	/* Zero now, where the base has contents. */
	save_page(d, c, 11, 0);

	assert_int_equal(snap_open(&f, c, ARCH), 0);
	assert_int_equal(f.present_count, 2);
	assert_int_equal(byte_of(&f, 10), 3);
	assert_int_equal(byte_of(&f, 11), 2);
	assert_int_equal(byte_of(&f, 12), 0);
	assert_string_equal(f.base_name, "b");
	assert_int_equal(snap_verify(&f, NULL, NULL), 0);
	snap_close(&f);
	assert_int_equal(snap_open(&f, d, ARCH), 0);
	assert_int_equal(f.present_count, 1);
	assert_int_equal(byte_of(&f, 10), 3);
	assert_int_equal(byte_of(&f, 11), 0);
	assert_int_equal(snap_verify(&f, NULL, NULL), 0);
	assert_int_equal(snap_flatten(&f, flat, false), 0);
	snap_close(&f);
	memory = path_in(d, "memory");
	assert_int_equal(stat(memory, &st), 0);
	assert_int_equal(st.st_blocks, 0);

	assert_int_equal(snap_open(&f, flat, ARCH), 0);
	assert_null(f.base);
	assert_int_equal(f.present_count, 1);
	assert_int_equal(byte_of(&f, 10), 3);
	snap_close(&f);
	free(memory);
	free(a);
	free(b);
	free(c);
	free(d);
	free(flat);
}

/* Opens a snapshot that must be refused, with this in the messages. */
static void refuses(const char *path, int err, const char *why)
{
	struct capture capture;
	struct snap_file f;
	const char *said;
	int r;

	capture_start(&capture, STDERR_FILENO);
	r = snap_open(&f, path, ARCH);
	said = capture_end(&capture);
	assert_int_equal(r, err);
	assert_non_null(strstr(said, why));
}

static void not_a_base(void **state)
{
	char *a = path_in(*state, "a"), *b = path_in(*state, "b");
	char *other = path_in(*state, "other");

	save_page(a, NULL, 10, 1);
	save_page(b, a, 11, 2);
	assert_int_equal(rename(a, other), 0);
	refuses(b, -ENOENT, ": base a: No such file");
	save_page(a, NULL, 10, 1);
	refuses(b, -ESTALE, "its base a was replaced by another snapshot");
	/* Its own base. */
	fixture_clean(path_in(*state, "a"));
	assert_int_equal(rename(b, a), 0);
	refuses(a, -ESTALE, "its base a was replaced by another snapshot");
	free(a);
	free(b);
	free(other);
}

/* The line about a save to @path, to be freed. */
static char *line_about(const char *path, const char *why)
{
	char *line;

	assert_true(asprintf(&line, "thaw: snapshot %s: %s\n", path, why) > 0);
	return line;
}

/* Begins a save at @path on the base, NULL: none; NULL: refused, with @err and @why. */
static struct snap_save *begin(const char *path, const char *base, int err,
			       const char *why)
{
	struct snap_save_config config = {
		.path = path, .arch = ARCH, .ranges = ranges, .range_count = 2
	};
	struct capture capture;
	struct snap_save *save;
	struct snap_file file;

	if (base) {
		assert_int_equal(snap_open(&file, base, ARCH), 0);
		config.base = &file;
		config.base_name = strrchr(base, '/') + 1;
	}
	capture_start(&capture, STDERR_FILENO);
	assert_int_equal(snap_save_begin(&save, &config), err);
	assert_string_equal(capture_end(&capture), why);
	return save;
}

/* Commits a save that must be refused. */
static void refuses_to_commit(struct snap_save *save, int err, const char *why)
{
	struct capture capture;

	capture_start(&capture, STDERR_FILENO);
	assert_int_equal(snap_save_commit(save), err);
	assert_string_equal(capture_end(&capture), why);
}

static void base_of_others_is_kept(void **state)
{
	char *a = path_in(*state, "a"), *b = path_in(*state, "b");
	char *other = path_in(*state, "other"), *there = path_in(other, "b");
	struct snap_save *save;
	struct snap_file f;
	char *why;

	why = line_about(a, "not replaced: it is the base "
			    "of b; remove that one first, or save "
			    "elsewhere");
	save_page(a, NULL, 10, 1);
	/* Beside it: no directory, no snapshot, one that is broken. */
	write_file(*state, "file", (const uint8_t *)"x", 1);
	save_page(other, NULL, 10, 1);
	write_file(other, "state", (const uint8_t *)"thaw", 4);
	/* The dependent comes while another save goes on. */
	save = begin(a, NULL, 0, "");
	save_page(b, a, 11, 2);
	refuses_to_commit(save, -EMLINK, why);
	assert_null(begin(a, NULL, -EMLINK, why));
	/* Its own copy has the same contents. */
	assert_int_equal(snap_open(&f, a, ARCH), 0);
	assert_int_equal(snap_flatten(&f, a, false), 0);
	snap_close(&f);
	assert_int_equal(snap_open(&f, b, ARCH), 0);
	assert_int_equal(byte_of(&f, 10), 1);
	snap_close(&f);
	/* Elsewhere, it is no dependent of what is here. */
	fixture_clean(path_in(*state, "other"));
	assert_int_equal(mkdir(other, 0700), 0);
	assert_int_equal(rename(b, there), 0);
	assert_int_equal(symlink("other/b", b), 0);
	save_page(a, NULL, 10, 4);
	assert_int_equal(unlink(b), 0);
	free(a);
	free(b);
	free(other);
	free(there);
	free(why);
}

static void base_of_a_save_is_kept(void **state)
{
	char *a = path_in(*state, "a"), *b = path_in(*state, "b");
	char *away = path_in(*state, "away"), *why;
	struct snap_save *save, *other;
	struct capture capture;
	struct snap_file f;

	save_page(a, NULL, 10, 1);
	save = begin(b, a, 0, "");
	other = begin(a, NULL, 0, "");
	why = line_about(a, "not replaced: it is the base "
			    "of one that is being saved");
	refuses_to_commit(other, -EMLINK, why);
	/* Nor by its own copy, which this save would not be locked with. */
	assert_int_equal(snap_open(&f, a, ARCH), 0);
	capture_start(&capture, STDERR_FILENO);
	assert_int_equal(snap_flatten(&f, a, false), -EMLINK);
	assert_string_equal(capture_end(&capture), why);
	snap_close(&f);
	free(why);
	assert_int_equal(snap_save_commit(save), 0);
	assert_int_equal(snap_open(&f, b, ARCH), 0);
	snap_close(&f);
	/* A base that is gone is noticed. */
	save = begin(b, a, 0, "");
	assert_int_equal(rename(a, away), 0);
	why = line_about(b, "its base a was replaced or "
			    "removed meanwhile");
	refuses_to_commit(save, -EINVAL, why);
	free(why);
	free(a);
	free(b);
	free(away);
}

/* A base that was named by a link is one all the same. */
static void base_behind_a_link_is_kept(void **state)
{
	char *a = path_in(*state, "a"), *b = path_in(*state, "b");
	char *link = path_in(*state, "current"), *why;

	save_page(a, NULL, 10, 1);
	assert_int_equal(symlink("a", link), 0);
	save_page(b, link, 11, 2);
	why = line_about(a, "not replaced: it is the base "
			    "of b; remove that one first, or save "
			    "elsewhere");
	assert_null(begin(a, NULL, -EMLINK, why));
	assert_int_equal(unlink(link), 0);
	free(why);
	free(a);
	free(b);
	free(link);
}

/* Two saves that replace the same snapshot follow each other. */
static void replaced_by_two(void **state)
{
	char *a = path_in(*state, "a");
	struct snap_save *first, *second;
	struct snap_file f;

	save_page(a, NULL, 10, 1);
	first = begin(a, NULL, 0, "");
	second = begin(a, NULL, 0, "");
	assert_int_equal(snap_save_commit(first), 0);
	assert_int_equal(snap_save_commit(second), 0);
	assert_int_equal(snap_open(&f, a, ARCH), 0);
	snap_close(&f);
	free(a);
}

/* What cannot be read may be a dependent, and nothing depends on a staging directory. */
static void doubt_keeps_the_base(void **state)
{
	char *a = path_in(*state, "a"), *b = path_in(*state, "b");
	char *hidden = path_in(*state, ".b.0123abcd.tmp"), *why;
	struct snap_file f;
	uint8_t *bytes;
	size_t len;

	save_page(a, NULL, 10, 1);
	save_page(b, a, 11, 2);
	bytes = read_file(b, "state", &len);
	bytes[8] = 99; /* the format version */
	write_file(b, "state", bytes, len);
	free(bytes);
	why = line_about(a, "not replaced: it may be the "
			    "base of b, which cannot be read: Protocol not "
			    "supported");
	assert_null(begin(a, NULL, -EPROTONOSUPPORT, why));
	free(why);
	why = line_about(hidden, "not a valid directory name");
	assert_null(begin(hidden, NULL, -EINVAL, why));
	assert_int_equal(snap_open(&f, a, ARCH), 0);
	snap_close(&f);
	free(why);
	free(a);
	free(b);
	free(hidden);
}

static void chain_is_bounded(void **state)
{
	char *path = path_in(*state, "0"), *next;
	struct snap_save_config config = { .arch = ARCH,
					   .ranges = ranges,
					   .range_count = 2,
					   .base_name = "63" };
	struct capture capture;
	struct snap_save *save;
	struct snap_file f;

	save_page(path, NULL, 0, 1);
	for (int i = 1; i < SNAP_CHAIN_MAX; i++) {
		char name[8];

		snprintf(name, sizeof(name), "%d", i);
		next = path_in(*state, name);
		save_page(next, path, (uint64_t)i % 8, i);
		free(path);
		path = next;
	}
	assert_int_equal(snap_open(&f, path, ARCH), 0);
	assert_int_equal(byte_of(&f, 7), SNAP_CHAIN_MAX - 1);
	assert_int_equal(byte_of(&f, 0), SNAP_CHAIN_MAX - 8);
	next = path_in(*state, "more");
	config.path = next;
	config.base = &f;
	capture_start(&capture, STDERR_FILENO);
	assert_int_equal(snap_save_begin(&save, &config), -ELOOP);
	assert_non_null(
		strstr(capture_end(&capture), "a chain of 64 snapshots"));
	snap_close(&f);
	free(next);
	free(path);
}

static void names(void **state)
{
	(void)state;
	assert_true(snap_base_name_is_valid("a b"));
	assert_true(snap_base_name_is_valid("..."));
	assert_false(snap_base_name_is_valid(""));
	assert_false(snap_base_name_is_valid("."));
	assert_false(snap_base_name_is_valid(".."));
	assert_false(snap_base_name_is_valid("a/b"));
	assert_false(snap_base_name_is_valid("/a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pages_come_from_where_they_are,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(not_a_base, set_up, tear_down),
		cmocka_unit_test_setup_teardown(base_of_others_is_kept, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(base_of_a_save_is_kept, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(base_behind_a_link_is_kept,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(replaced_by_two, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(doubt_keeps_the_base, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(chain_is_bounded, set_up,
						tear_down),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
