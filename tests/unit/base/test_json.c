/* SPDX-License-Identifier: BSD-2-Clause */
/* The JSON writer: nesting, commas, and strings that hold anything. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/base/bytes.h"
#include "vmm/base/json.h"

/* A writer into memory. */
struct sink {
	char *text;
	size_t len;
	FILE *file;
	struct json json;
};

static void sink_open(struct sink *sink, bool pretty)
{
	sink->file = open_memstream(&sink->text, &sink->len);
	assert_non_null(sink->file);
	json_init(&sink->json, sink->file, pretty);
}

/* Ends it and compares. */
static void sink_expect(struct sink *sink, const char *text)
{
	assert_int_equal(json_finish(&sink->json), 0);
	fclose(sink->file);
	assert_string_equal(sink->text, text);
	free(sink->text);
}

/* Everything once, on one line. */
static void compact(void **state)
{
	struct sink s;

	(void)state;
	sink_open(&s, false);
	json_object_begin(&s.json, NULL);
	json_uint(&s.json, "u", UINT64_MAX);
	json_bool(&s.json, "t", true);
	json_null(&s.json, "z");
	json_string(&s.json, "s", NULL);
	json_array_begin(&s.json, "a");
	json_array_begin(&s.json, NULL);
	json_array_end(&s.json);
	json_object_begin(&s.json, NULL);
	json_object_end(&s.json);
	json_bool(&s.json, NULL, false);
	json_array_end(&s.json);
	json_uint(&s.json, "last", 0);
	json_object_end(&s.json);
	sink_expect(&s, "{\"u\":18446744073709551615,"
			"\"t\":true,\"z\":null,\"s\":null,"
			"\"a\":[[],{},false],\"last\":0}\n");
}

/* Lines and indentation. */
static void pretty(void **state)
{
	struct sink s;

	(void)state;
	sink_open(&s, true);
	json_object_begin(&s.json, NULL);
	json_object_begin(&s.json, "empty");
	json_object_end(&s.json);
	json_array_begin(&s.json, "a");
	json_uint(&s.json, NULL, 1);
	json_uint(&s.json, NULL, 2);
	json_array_end(&s.json);
	json_object_end(&s.json);
	sink_expect(&s, "{\n  \"empty\": {},\n  \"a\": [\n    1,\n    2\n  ]\n"
			"}\n");
}

/* Strings: what must be escaped is, what is no UTF-8 is replaced. */
static void strings(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "", "\"\"\n" },
		{ "a\"b\\c/", "\"a\\\"b\\\\c/\"\n" },
		{ "\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"\n" },
		{ "\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\"\n" },
		{ "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa7",
		  "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa7\"\n" },
		/* A lone continuation, an overlong form, a surrogate. */
		{ "\x80z", "\"\\ufffdz\"\n" },
		{ "\xc0\xaf", "\"\\ufffd\\ufffd\"\n" },
		{ "\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"\n" },
		{ "\xe0\x9f\xbf", "\"\\ufffd\\ufffd\\ufffd\"\n" },
		/* Past U+10FFFF, and sequences that the end cuts. */
		{ "\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"\n" },
		{ "\xf0\x8f\xbf\xbf", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"\n" },
		{ "\xf5", "\"\\ufffd\"\n" },
		{ "\xe2\x82", "\"\\ufffd\\ufffd\"\n" },
		{ "\xf0\x9f\x90", "\"\\ufffd\\ufffd\\ufffd\"\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct sink s;

		sink_open(&s, false);
		json_string(&s.json, NULL, rows[i].in);
		sink_expect(&s, rows[i].out);
	}
}

/* A full disk is an error. */
static void stream_error(void **state)
{
	FILE *full = fopen("/dev/full", "we");
	struct json json;

	(void)state;
	if (!full)
		skip();
	json_init(&json, full, false);
	json_string(&json, NULL, "x");
	assert_int_equal(json_finish(&json), -EIO);
	fclose(full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compact),
		cmocka_unit_test(pretty),
		cmocka_unit_test(strings),
		cmocka_unit_test(stream_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
