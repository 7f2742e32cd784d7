/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fields of a section: values survive a round trip, and malformed fields are
 * detected.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/snap/section.h"

static void what_goes_in_comes_out(void **state)
{
	struct snap_writer w = { 0 };
	struct snap_reader r;
	uint8_t raw[3];
	const uint8_t *blob;
	size_t len;

	(void)state;
	snap_put_u8(&w, 0x12);
	snap_put_u16(&w, 0x3456);
	snap_put_u32(&w, 0x789abcde);
	snap_put_u64(&w, 0xf0e1d2c3b4a59687);
	snap_put_bytes(&w, "raw", 3);
	snap_put_blob(&w, "a blob", 6);
	snap_put_blob(&w, NULL, 0);
	assert_int_equal(w.error, 0);
	assert_int_equal(w.len, 1 + 2 + 4 + 8 + 3 + 4 + 6 + 4);
	/* Little-endian, with nothing in between. */
	assert_memory_equal(w.data, "\x12\x56\x34\xde\xbc\x9a\x78\x87", 8);

	r = (struct snap_reader){ .data = w.data, .len = w.len };
	assert_int_equal(snap_get_u8(&r), 0x12);
	assert_int_equal(snap_get_u16(&r), 0x3456);
	assert_int_equal(snap_get_u32(&r), 0x789abcde);
	assert_true(snap_get_u64(&r) == 0xf0e1d2c3b4a59687);
	snap_get_bytes(&r, raw, 3);
	assert_memory_equal(raw, "raw", 3);
	blob = snap_get_blob(&r, 6, &len);
	assert_int_equal(len, 6);
	assert_memory_equal(blob, "a blob", 6);
	assert_int_equal(snap_reader_error(&r), -EBADMSG); /* some is left */
	snap_get_blob(&r, 0, &len);
	assert_int_equal(len, 0);
	assert_int_equal(snap_reader_error(&r), 0);
	snap_writer_finish(&w);
	assert_null(w.data);
}

static void short_input_is_noticed(void **state)
{
	struct snap_reader r = { .data = (const uint8_t *)"\1\2\3", .len = 3 };
	uint8_t raw[4] = { 9, 9, 9, 9 };

	(void)state;
	assert_int_equal(snap_get_u32(&r), 0);
	assert_int_equal(snap_reader_error(&r), -EBADMSG);
	/* Later reads fail, even within the data. */
	assert_int_equal(snap_get_u8(&r), 0);
	snap_get_bytes(&r, raw, 4);
	assert_memory_equal(raw, "\0\0\0\0", 4);
}

static void blobs_are_bounded(void **state)
{
	uint8_t bytes[8] = { 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4 };
	struct snap_reader r = { .data = bytes, .len = sizeof(bytes) };
	size_t len = 77;

	(void)state;
	assert_null(snap_get_blob(&r, SIZE_MAX, &len));
	assert_int_equal(len, 0);
	assert_int_equal(snap_reader_error(&r), -EBADMSG);

	memcpy(bytes, "\4\0\0\0", 4);
	r = (struct snap_reader){ .data = bytes, .len = sizeof(bytes) };
	assert_null(snap_get_blob(&r, 3, &len));
	assert_int_equal(snap_reader_error(&r), -EBADMSG);
	r = (struct snap_reader){ .data = bytes, .len = sizeof(bytes) };
	assert_non_null(snap_get_blob(&r, 4, &len));
	assert_int_equal(snap_reader_error(&r), 0);
}

static void a_writer_grows(void **state)
{
	struct snap_writer w = { 0 };
	struct snap_reader r;

	(void)state;
	for (uint32_t i = 0; i < 100000; i++)
		snap_put_u32(&w, i);
	assert_int_equal(w.error, 0);
	r = (struct snap_reader){ .data = w.data, .len = w.len };
	for (uint32_t i = 0; i < 100000; i++)
		assert_int_equal(snap_get_u32(&r), i);
	assert_int_equal(snap_reader_error(&r), 0);
	/* An absurd length is an error, not an overflow; it stays one. */
	snap_put_bytes(&w, "x", SIZE_MAX - 10);
	assert_int_equal(w.error, -ENOMEM);
	snap_put_u8(&w, 1);
	assert_int_equal(w.len, 400000);
	snap_writer_finish(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_goes_in_comes_out),
		cmocka_unit_test(short_input_is_noticed),
		cmocka_unit_test(blobs_are_bounded),
		cmocka_unit_test(a_writer_grows),
	};

	return cmocka_run_group_tests_name("snap-section", tests, NULL, NULL);
}
