/* SPDX-License-Identifier: BSD-2-Clause */
/* The log: levels, one line a call, limits on what a guest can cause. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/base/capture.h"
#include "vmm/base/log.h"

/* Counts the lines of a text. */
static unsigned int lines(const char *text)
{
	unsigned int n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/* What is above the level is not shown. */
static void levels(void **state)
{
	struct capture c;

	(void)state;
	capture_start(&c, STDERR_FILENO);
	log_info("hidden");
	log_warn("seen %d", 1);
	log_set_level(LOG_DEBUG);
	log_debug("seen %d", 2);
	log_set_level(LOG_WARN);
	log_debug("hidden");
	assert_string_equal(capture_end(&c), "thaw: seen 1\nthaw: seen 2\n");
}

/* Errors come with their words, and as a negative number. */
static void errors(void **state)
{
	struct capture c;

	(void)state;
	capture_start(&c, STDERR_FILENO);
	errno = EBUSY;
	assert_int_equal(log_errno(ENOENT, "open %s", "x"), -ENOENT);
	assert_int_equal(log_fail(EINVAL, "y"), -EINVAL);
	log_error("z");
	assert_int_equal(errno, EBUSY);
	assert_string_equal(capture_end(&c),
			    "thaw: open x: No such file or directory\n"
			    "thaw: y\nthaw: z\n");
}

/* The last error of this thread can be kept. */
static void kept(void **state)
{
	char line[LOG_KEPT_BYTES];
	struct capture c;

	(void)state;
	capture_start(&c, STDERR_FILENO);
	log_keep(line);
	assert_string_equal(line, "");
	log_error("first");
	log_errno(ENOENT, "open %s", "x");
	log_warn("not an error");
	log_keep(NULL);
	log_error("not kept");
	capture_end(&c);
	assert_string_equal(line, "open x: No such file or directory");
}

/* A raw terminal needs CR before LF. */
static void raw(void **state)
{
	struct capture c;

	(void)state;
	capture_start(&c, STDERR_FILENO);
	log_set_raw(true);
	log_error("a");
	log_set_raw(false);
	log_error("b");
	assert_string_equal(capture_end(&c), "thaw: a\r\nthaw: b\n");
}

/* A line of any length is cut, and still one line. */
static void long_lines(void **state)
{
	struct capture c;
	char text[3000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	capture_start(&c, STDERR_FILENO);
	log_error("%s", text);
	log_errno(EIO, "%s", text);
	assert_int_equal(lines(capture_end(&c)), 2);
	assert_true(strlen(c.text) < 2200);
}

/* A guest gets ten lines and no more. */
static void budget(void **state)
{
	struct log_budget b = { 0 };
	struct capture c;

	(void)state;
	capture_start(&c, STDERR_FILENO);
	for (int i = 0; i < 1000; i++)
		log_guest(&b, "bad descriptor %d", i);
	assert_int_equal(lines(capture_end(&c)), 10);
	assert_non_null(strstr(c.text, "suppressed"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels),     cmocka_unit_test(errors),
		cmocka_unit_test(kept),	      cmocka_unit_test(raw),
		cmocka_unit_test(long_lines), cmocka_unit_test(budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
