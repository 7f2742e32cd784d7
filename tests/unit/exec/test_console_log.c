/* SPDX-License-Identifier: BSD-2-Clause */
/* exec-console_log: what is kept of a guest's console, and the panic in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/exec/console_log.h"

static int set_up(void **state)
{
	*state = calloc(1, sizeof(struct console_log));
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static void add(struct console_log *log, const char *text)
{
	console_log_add(log, text, strlen(text));
}

static void expect_tail(const struct console_log *log, unsigned int lines,
			const char *text)
{
	char *tail = console_log_tail(log, lines);

	assert_string_equal(tail, text);
	free(tail);
}

static void test_tail(void **state)
{
	struct console_log *log = *state;

	expect_tail(log, 10, "");
	add(log, "\r\n\n");
	expect_tail(log, 10, "");
	add(log, "one\r\ntwo\r\n\r\nthree");
	expect_tail(log, 10, "\n\none\ntwo\n\nthree\n");
	expect_tail(log, 1, "three\n");
	expect_tail(log, 3, "two\n\nthree\n");
	expect_tail(log, 0, "");
	add(log, "\n\n\n");
	expect_tail(log, 1, "three\n");
}

/* Nothing of a guest may control the user's terminal. */
static void test_clean(void **state)
{
	struct console_log *log = *state;

	console_log_add(log, "\033[2Ja\0b\tc\x9b\xff\x7f\n", 13);
	expect_tail(log, 5, "?[2Ja?b\tc???\n");
}

/* More than the ring holds. */
static void test_wrap(void **state)
{
	struct console_log *log = *state;
	char line[32], *tail;

	for (int i = 0; i < 20000; i++) {
		snprintf(line, sizeof(line), "line %d\r\n", i);
		add(log, line);
	}
	expect_tail(log, 2, "line 19998\nline 19999\n");
	tail = console_log_tail(log, 1000000);
	assert_int_equal(strlen(tail), CONSOLE_LOG_BYTES);
	free(tail);
}

/* The text comes in any pieces, and false starts before it. */
static void test_panic(void **state)
{
	static const char text[] =
		"Kernel panKernel panic - not syncing: KKernel panic - not "
		"syncing: sysrq \033crash\r\nCPU: 0\nKernel panic - not "
		"syncing: again\n";
	struct console_log *log = *state;

	add(log, "Kernel panic - not syncing:x");
	assert_false(log->panicked);
	for (const char *c = text; *c; c++)
		console_log_add(log, c, 1);
	assert_true(log->panicked);
	assert_string_equal(log->reason, "KKernel panic - not syncing: sysrq "
					 "?crash");
}

/* However long the stack is, the panic and what led to it are shown. */
static void test_long_panic(void **state)
{
	struct console_log *log = *state;

	add(log, "old\noops\nKernel panic - not syncing: why\n");
	for (int i = 0; i < 5; i++)
		add(log, "stack\n");
	expect_tail(log, 2,
		    "oops\nKernel panic - not syncing: why\n"
		    "stack\nstack\nstack\nstack\nstack\n");
	for (int i = 0; i < 20000; i++)
		add(log, "stack\n");
	assert_true(log->panicked);
}

/* A line without an end. */
static void test_long_reason(void **state)
{
	struct console_log *log = *state;

	add(log, "Kernel panic - not syncing: ");
	for (int i = 0; i < 1000; i++)
		add(log, "x");
	assert_true(log->panicked);
	assert_int_equal(strlen(log->reason), CONSOLE_LOG_REASON_BYTES - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_tail, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_clean, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wrap, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_panic, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long_panic, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_long_reason, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
