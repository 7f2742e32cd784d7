/* SPDX-License-Identifier: BSD-2-Clause */
/* Options: every way to write each kind, and one clear line for the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/base/capture.h"
#include "vmm/base/bytes.h"
#include "vmm/base/option.h"

enum way { WAY_FIRST, WAY_SECOND, WAY_THIRD };

struct values {
	bool flag, other;
	unsigned int count, number;
	const char *text;
	uint64_t size;
	enum way way, stats;
	struct option_list list;
};

static const char *const words[] = { "first", "second", "third", NULL };

#define AT(member) .offset = offsetof(struct values, member)

static const struct option rows[] = {
	{ .kind = OPTION_HEADING, .help = "Things" },
	{ .kind = OPTION_FLAG, 'f', "flag", AT(flag), .help = "a flag" },
	{ .kind = OPTION_FLAG, 'o', "other", AT(other), .help = "another" },
	{ .kind = OPTION_COUNT, 'v', "verbose", AT(count), .help = "more" },
	{ .kind = OPTION_STRING, 't', "text", AT(text), "FILE", "a text" },
	{ .kind = OPTION_UINT,
	  'n',
	  "number",
	  AT(number),
	  "N",
	  "a number",
	  .min = 1,
	  .max = 255 },
	{ .kind = OPTION_SIZE,
	  'm',
	  "mem",
	  AT(size),
	  "SIZE",
	  "a size",
	  .min = 32 * MIB,
	  .max = TIB },
	{ .kind = OPTION_CHOICE,
	  '\0',
	  "way",
	  AT(way),
	  .help = "a way",
	  .choices = words },
	{ .kind = OPTION_CHOICE,
	  '\0',
	  "stats",
	  AT(stats),
	  .help = "optional",
	  .choices = words,
	  .optional = true },
	{ .kind = OPTION_LIST, 'd', "disk", AT(list), "PATH", "a list" },
	{ .kind = OPTION_FLAG, '\0', "secret", AT(other) },
};

static const struct option_spec spec = {
	.command = "thaw test",
	.operands = "FROM [TO]",
	.about = "Tests.",
	.options = rows,
	.option_count = ARRAY_SIZE(rows),
	.operands_min = 0,
	.operands_max = 2,
};

/* Splits @line at blanks and parses it. */
static enum option_result parse_with(const struct option_spec *with,
				     const char *line, struct values *values,
				     struct option_operands *operands)
{
	static char text[4096], *argv[256];
	char *save = NULL;
	int argc = 0;

	snprintf(text, sizeof(text), "test %s", line);
	for (char *word = strtok_r(text, " ", &save); word;
	     word = strtok_r(NULL, " ", &save))
		argv[argc++] = strcmp(word, "''") == 0 ? word + 2 : word;
	argv[argc] = NULL;
	return option_parse(with, argc, argv, values, operands);
}

/* The ways to write a value, and what stays when there is none. */
static void values(void **state)
{
	struct values v = { .number = 7, .text = "default" };
	struct option_operands o;

	(void)state;
	assert_int_equal(parse_with(&spec,
				    "-fvv --mem=1.5G -n12 -d a --disk b "
				    "--disk=c --way second --verbose",
				    &v, &o),
			 OPTION_DONE);
	assert_true(v.flag && !v.other);
	assert_int_equal(v.count, 3);
	assert_int_equal(v.size, 1536 * MIB);
	assert_int_equal(v.number, 12);
	assert_string_equal(v.text, "default");
	assert_int_equal(v.way, WAY_SECOND);
	assert_int_equal(v.list.count, 3);
	assert_string_equal(v.list.values[2], "c");
	assert_int_equal(o.count, 0);
}

/* The last one counts; a value may be empty or look like an option. */
static void edges(void **state)
{
	struct values v = { .number = 7 };

	(void)state;
	assert_int_equal(parse_with(&spec, "-t a --text=b", &v, NULL),
			 OPTION_DONE);
	assert_string_equal(v.text, "b");
	assert_int_equal(parse_with(&spec, "--text= -n 1", &v, NULL),
			 OPTION_DONE);
	assert_string_equal(v.text, "");
	assert_int_equal(parse_with(&spec, "-t --help", &v, NULL), OPTION_DONE);
	assert_string_equal(v.text, "--help");
	assert_int_equal(parse_with(&spec, "--text=a=b", &v, NULL),
			 OPTION_DONE);
	assert_string_equal(v.text, "a=b");
	assert_int_equal(parse_with(&spec, "-fot x", &v, NULL), OPTION_DONE);
	assert_true(v.flag && v.other);
	assert_string_equal(v.text, "x");
}

/* A choice whose value may be left out takes none of the next word. */
static void optional_value(void **state)
{
	struct values v = { .stats = WAY_THIRD };
	struct option_operands o;

	(void)state;
	assert_int_equal(parse_with(&spec, "--stats second", &v, &o),
			 OPTION_DONE);
	assert_int_equal(v.stats, WAY_FIRST);
	assert_int_equal(o.count, 1);
	assert_int_equal(parse_with(&spec, "--stats=second", &v, &o),
			 OPTION_DONE);
	assert_int_equal(v.stats, WAY_SECOND);
}

/* Operands: in any order, after "--", a lone dash, and how many. */
static void operands(void **state)
{
	struct values v = { .number = 7 };
	struct option_operands o;

	(void)state;
	assert_int_equal(parse_with(&spec, "a -f -", &v, &o), OPTION_DONE);
	assert_int_equal(o.count, 2);
	assert_string_equal(o.values[0], "a");
	assert_string_equal(o.values[1], "-");
	assert_true(v.flag);
	assert_int_equal(parse_with(&spec, "-- --nope -f", &v, &o),
			 OPTION_DONE);
	assert_int_equal(o.count, 2);
	assert_string_equal(o.values[0], "--nope");
}

/* A command that runs a command stops at the first operand. */
static void operands_last(void **state)
{
	struct option_spec last = spec;
	struct values v = { .number = 7 };
	struct option_operands o;

	(void)state;
	last.operands_last = true;
	last.operands_max = 9;
	assert_int_equal(parse_with(&last, "-o cmd -f --help", &v, &o),
			 OPTION_DONE);
	assert_int_equal(o.count, 3);
	assert_string_equal(o.values[1], "-f");
	assert_true(v.other && !v.flag);
}

/* Each mistake is one line that names the option and the reason. */
static void mistakes(void **state)
{
	static const struct {
		const char *line, *says;
	} cases[] = {
		{ "--mem=12Q", "thaw: --mem: 12Q is not a size: use a number "
			       "with K, M, G or T\n" },
		{ "-m ''", "thaw: --mem: \"\" is not a size: use a number "
			   "with K, M, G or T\n" },
		{ "-m 1M", "thaw: --mem: 1M is too small: at least 32M\n" },
		{ "-m 2T", "thaw: --mem: 2T is too large: at most 1T\n" },
		{ "-m 99999999T",
		  "thaw: --mem: 99999999T is too large: at most 1T\n" },
		{ "-n 0", "thaw: --number: 0 is out of range (1 to 255)\n" },
		{ "-n 256",
		  "thaw: --number: 256 is out of range (1 to 255)\n" },
		{ "-n 99999999999999999999",
		  "thaw: --number: 99999999999999999999 is out of range "
		  "(1 to 255)\n" },
		{ "-n 3x", "thaw: --number: 3x is not a number\n" },
		{ "-n -1", "thaw: --number: -1 is not a number\n" },
		{ "-n ''", "thaw: --number: \"\" is not a number\n" },
		{ "--way fourth", "thaw: --way: unknown value fourth "
				  "(expected first, second or third)\n" },
		{ "--flag=1", "thaw: --flag: takes no value\n" },
		{ "-t", "thaw: --text: missing value: FILE\n" },
		{ "--text", "thaw: --text: missing value: FILE\n" },
		{ "--nope",
		  "thaw: --nope: unknown option; see thaw test --help\n" },
		{ "--fla",
		  "thaw: --fla: unknown option; see thaw test --help\n" },
		{ "-fx", "thaw: -x: unknown option; see thaw test --help\n" },
		{ "a b c", "thaw: c: unexpected argument; see thaw test "
			   "--help\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct values v = { .number = 7 };
		struct capture c;
		enum option_result result;

		capture_start(&c, STDERR_FILENO);
		result = parse_with(&spec, cases[i].line, &v, NULL);
		assert_string_equal(capture_end(&c), cases[i].says);
		assert_int_equal(result, OPTION_BAD);
	}
}

/* Too few operands, and a list that is full. */
static void counts(void **state)
{
	struct option_spec two = spec;
	struct values v = { .number = 7 };
	char line[512] = "";
	struct capture c;

	(void)state;
	two.operands_min = 1;
	capture_start(&c, STDERR_FILENO);
	assert_int_equal(parse_with(&two, "-f", &v, NULL), OPTION_BAD);
	assert_string_equal(capture_end(&c), "thaw: missing FROM "
					     "[TO]; see thaw test --help\n");
	for (unsigned int i = 0; i <= OPTION_LIST_MAX; i++)
		strcat(line, "-dx ");
	capture_start(&c, STDERR_FILENO);
	assert_int_equal(parse_with(&spec, line, &v, NULL), OPTION_BAD);
	assert_non_null(strstr(capture_end(&c), "--disk: given more than 32"));
	assert_int_equal(v.list.count, OPTION_LIST_MAX);
}

/* Help lists what has help, from the table, on standard output. */
static void help(void **state)
{
	struct values v = { .number = 7 };
	struct capture c;

	(void)state;
	capture_start(&c, STDOUT_FILENO);
	assert_int_equal(parse_with(&spec, "-f --help --nope", &v, NULL),
			 OPTION_HELPED);
	capture_end(&c);
	assert_non_null(strstr(c.text, "usage: thaw test [OPTION]... FROM "));
	assert_non_null(strstr(c.text, "\nThings:\n"));
	assert_non_null(strstr(c.text, "\n  -m, --mem=SIZE            a size"));
	assert_non_null(strstr(c.text, "--way=first|second|third"));
	assert_non_null(strstr(c.text, "--stats[=first|second|third]"));
	assert_non_null(strstr(c.text, "  -h, --help  "));
	assert_null(strstr(c.text, "secret"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),	  cmocka_unit_test(edges),
		cmocka_unit_test(optional_value), cmocka_unit_test(operands),
		cmocka_unit_test(operands_last),  cmocka_unit_test(mistakes),
		cmocka_unit_test(counts),	  cmocka_unit_test(help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
