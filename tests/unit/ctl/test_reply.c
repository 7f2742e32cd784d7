/* SPDX-License-Identifier: BSD-2-Clause */
/* ctl-reply: what a client makes of a line, good or bad. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/base/bytes.h"
#include "vmm/base/json.h"
#include "vmm/ctl/reply_parse.h"

/* The members that matter, among others, in any order. */
static void test_members(void **state)
{
	struct ctl_reply a;

	(void)state;
	assert_int_equal(ctl_reply_parse(&a, "{\"ok\":true}\n"), 0);
	assert_true(a.has_ok && a.ok && !a.error && !a.has_progress);
	ctl_reply_free(&a);
	assert_int_equal(
		ctl_reply_parse(&a, " { \"x\" : [ {\"ok\":true}, -1.5e3, "
				    "null, [] ] , \"error\":\"no\", \"y\":{},"
				    "\"ok\" : false } \r\n"),
		0);
	assert_true(a.has_ok && !a.ok);
	assert_string_equal(a.error, "no");
	ctl_reply_free(&a);
	assert_int_equal(
		ctl_reply_parse(&a, "{\"progress\":{\"pages\":7,\"z\":\"}\","
				    "\"of\":18446744073709551615}}"),
		0);
	assert_true(a.has_progress && !a.has_ok);
	assert_true(a.pages == 7 && a.of == UINT64_MAX);
	ctl_reply_free(&a);
	/* Words within a string are no members. */
	assert_int_equal(ctl_reply_parse(&a, "{\"error\":\"\\\"ok\\\":true\"}"),
			 0);
	assert_false(a.has_ok);
	assert_string_equal(a.error, "\"ok\":true");
	ctl_reply_free(&a);
}

/* Every escape means what it says. */
static void test_escapes(void **state)
{
	struct ctl_reply a;

	(void)state;
	assert_int_equal(
		ctl_reply_parse(&a, "{\"error\":\"a\\\"b\\\\c\\/d\\n\\t\\u0041"
				    "\\u00e4\\u20ac\\ud83d\\ude00\\ud800x\"}"),
		0);
	assert_string_equal(a.error, "a\"b\\c/d\n\tA\xc3\xa4\xe2\x82\xac"
				     "\xf0\x9f\x98\x80\xef\xbf\xbdx");
	ctl_reply_free(&a);
}

/* What the writer of the room below makes of any bytes is read again. */
static void test_round(void **state)
{
	char line[1024] = "", name[128];
	FILE *out = fmemopen(line, sizeof(line), "w");
	struct ctl_reply a;
	struct json json;

	(void)state;
	for (int i = 0; i < 127; i++)
		name[i] = (char)(i + 1);
	name[127] = '\0';
	json_init(&json, out, false);
	json_object_begin(&json, NULL);
	json_string(&json, "error", name);
	json_object_end(&json);
	json_finish(&json);
	fclose(out);
	assert_int_equal(ctl_reply_parse(&a, line), 0);
	assert_string_equal(a.error, name);
	ctl_reply_free(&a);
}

/* What is no object is refused, however it is cut. */
static void test_bad(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"x",
		"{",
		"}",
		"[]",
		"{}x",
		"{\"ok\"}",
		"{\"ok\":}",
		"{\"ok\":1}",
		"{\"ok\":tru}",
		"{\"ok\":true,}",
		"{ok:true}",
		"{\"error\":1}",
		"{\"error\":\"x}",
		"{\"error\":\"\\x\"}",
		"{\"error\":\"\\u12g4\"}",
		"{\"error\":\"\\u12\"}",
		"{\"error\":\"\\\"}",
		"{\"error\":\"\n\"}",
		"{\"progress\":1}",
		"{\"progress\":{\"pages\":-1}}",
		"{\"progress\":{\"of\":18446744073709551616}}",
		"{\"x\":[1,2}",
		"{\"x\":[1 2]}",
		"{\"x\":{\"y\"}}",
		"{\"x\":?}",
		"HTTP/1.1 400 Bad Request",
	};
	static const char whole[] =
		"{\"ok\":true,\"error\":\"a\\u1234b\",\"progress\":"
		"{\"pages\":1,\"of\":2},\"x\":[null,{\"y\":false}]}";
	struct ctl_reply a;
	char cut[sizeof(whole)];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (ctl_reply_parse(&a, bad[i]) != -EBADMSG)
			fail_msg("taken: %s", bad[i]);
		ctl_reply_free(&a);
	}
	assert_int_equal(ctl_reply_parse(&a, whole), 0);
	ctl_reply_free(&a);
	for (size_t len = 0; len + 1 < sizeof(whole); len++) {
		memcpy(cut, whole, len);
		cut[len] = '\0';
		assert_int_equal(ctl_reply_parse(&a, cut), -EBADMSG);
		ctl_reply_free(&a);
	}
}

/* No depth of nesting is too much for the stack. */
static void test_deep(void **state)
{
	enum { DEPTH = 100000 };
	static const char head[] = "{\"x\":";
	char *line = malloc(sizeof(head) + DEPTH);
	struct ctl_reply a;

	(void)state;
	memcpy(line, head, sizeof(head) - 1);
	memset(line + sizeof(head) - 1, '[', DEPTH);
	line[sizeof(head) - 1 + DEPTH] = '\0';
	assert_int_equal(ctl_reply_parse(&a, line), -EBADMSG);
	ctl_reply_free(&a);
	free(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members), cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_round),	cmocka_unit_test(test_bad),
		cmocka_unit_test(test_deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
