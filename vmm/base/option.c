/* SPDX-License-Identifier: BSD-2-Clause */
/* Command-line options as a table of rows. One thread, no global state. */
#include "vmm/base/option.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/duration.h"
#include "vmm/base/log.h"
#include "vmm/base/size.h"

/* The column where the help texts start. */
#define HELP_COLUMN 28

/* State of a parse. */
struct parser {
	const struct option_spec *spec;
	void *values;
	int argc;
	char **argv;
	int next; /* the next argument */
	int operand_end; /* end of the operands, which begin at argv[1] */
	bool only_operands; /* after "--" or operands_last */
};

/* Whether the option takes a value. */
static bool takes_value(const struct option *option)
{
	return option->kind != OPTION_FLAG && option->kind != OPTION_COUNT;
}

/* The row of the long name @name of @len characters, or NULL. */
static const struct option *find_name(const struct option_spec *spec,
				      const char *name, size_t len)
{
	for (size_t i = 0; i < spec->option_count; i++) {
		const struct option *option = &spec->options[i];

		if (option->name && strlen(option->name) == len &&
		    memcmp(option->name, name, len) == 0)
			return option;
	}
	return NULL;
}

/* The row of the letter @letter, or NULL. */
static const struct option *find_letter(const struct option_spec *spec,
					char letter)
{
	for (size_t i = 0; i < spec->option_count; i++)
		if (spec->options[i].letter == letter)
			return &spec->options[i];
	return NULL;
}

/* Stores a decimal number within the row's bounds. */
static int store_uint(const struct option *option, const char *text, void *to)
{
	uint64_t max = option->max ? option->max : UINT_MAX, value = 0;
	unsigned int stored;
	const char *p = text;

	for (; *p >= '0' && *p <= '9' && value <= UINT_MAX; p++)
		value = value * 10 + (uint64_t)(*p - '0');
	if (p == text || (*p != '\0' && value <= UINT_MAX))
		return log_fail(EINVAL, "--%s: %s is not a number",
				option->name, *text ? text : "\"\"");
	if (value < option->min || value > max)
		return log_fail(ERANGE,
				"--%s: %s is out of range (%" PRIu64
				" to %" PRIu64 ")",
				option->name, text, option->min, max);
	stored = (unsigned int)value;
	memcpy(to, &stored, sizeof(stored));
	return 0;
}

/* Stores a size within the row's bounds. */
static int store_size(const struct option *option, const char *text, void *to)
{
	uint64_t max = option->max ? option->max : UINT64_MAX, value;
	char limit[SIZE_TEXT_BYTES];
	int err = size_parse(text, &value);

	if (err == -EINVAL)
		return log_fail(EINVAL,
				"--%s: %s is not a size: use a number with "
				"K, M, G or T",
				option->name, *text ? text : "\"\"");
	if (err == -ERANGE || value > max)
		return log_fail(ERANGE, "--%s: %s is too large: at most %s",
				option->name, text, size_format(max, limit));
	if (value < option->min)
		return log_fail(ERANGE, "--%s: %s is too small: at least %s",
				option->name, text,
				size_format(option->min, limit));
	memcpy(to, &value, sizeof(value));
	return 0;
}

static int store_duration(const struct option *option, const char *text,
			  void *to)
{
	uint64_t ns;
	int err = duration_parse(text, &ns);

	if (err == -EINVAL)
		return log_fail(EINVAL,
				"--%s: %s is not a duration: use a number with "
				"ms, s, m or h",
				option->name, *text ? text : "\"\"");
	if (err < 0)
		return log_fail(ERANGE, "--%s: %s is too long", option->name,
				text);
	memcpy(to, &ns, sizeof(ns));
	return 0;
}

/* Stores the index of a choice; the error message lists the choices. */
static int store_choice(const struct option *option, const char *text, void *to)
{
	char words[200] = "";
	size_t at = 0;
	unsigned int i;

	for (i = 0; option->choices[i]; i++) {
		if (strcmp(option->choices[i], text) == 0) {
			memcpy(to, &i, sizeof(i));
			return 0;
		}
	}
	for (i = 0; option->choices[i] && at < sizeof(words); i++)
		at += (size_t)snprintf(words + at, sizeof(words) - at, "%s%s",
				       i == 0		      ? "" :
				       option->choices[i + 1] ? ", " :
								" or ",
				       option->choices[i]);
	return log_fail(EINVAL, "--%s: unknown value %s (expected %s)",
			option->name, *text ? text : "\"\"", words);
}

/* Adds a value to a list. */
static int store_list(const struct option *option, const char *text, void *to)
{
	struct option_list *list = to;

	if (list->count == OPTION_LIST_MAX)
		return log_fail(E2BIG, "--%s: given more than %d times",
				option->name, OPTION_LIST_MAX);
	list->values[list->count++] = text;
	return 0;
}

/* Stores a value by the row's kind; NULL if the kind takes none. */
static int store(const struct parser *parser, const struct option *option,
		 const char *text)
{
	void *to = (char *)parser->values + option->offset;

	switch (option->kind) {
	case OPTION_HEADING:
		break;
	case OPTION_FLAG:
		*(bool *)to = true;
		break;
	case OPTION_COUNT:
		++*(unsigned int *)to;
		break;
	case OPTION_STRING:
		memcpy(to, &text, sizeof(text));
		break;
	case OPTION_UINT:
		return store_uint(option, text, to);
	case OPTION_SIZE:
		return store_size(option, text, to);
	case OPTION_DURATION:
		return store_duration(option, text, to);
	case OPTION_CHOICE:
		return store_choice(option, text, to);
	case OPTION_LIST:
		return store_list(option, text, to);
	}
	return 0;
}

/* Stores an option with the value @attached or, if NULL, the next argument. */
static int store_with_value(struct parser *parser, const struct option *option,
			    const char *attached)
{
	if (!attached && option->optional)
		attached = option->choices[0];
	if (!attached) {
		if (parser->next == parser->argc)
			return log_fail(EINVAL, "--%s: missing value: %s",
					option->name,
					option->metavar ? option->metavar :
							  "VALUE");
		attached = parser->argv[parser->next++];
	}
	return store(parser, option, attached);
}

/* "--name", "--name=value"; @text is past the dashes. */
static int parse_name(struct parser *parser, const char *text)
{
	size_t len = strcspn(text, "=");
	const char *attached = text[len] ? text + len + 1 : NULL;
	const struct option *option = find_name(parser->spec, text, len);

	if (!option)
		return log_fail(EINVAL, "--%.*s: unknown option; see %s --help",
				(int)min_u64(len, 80), text,
				parser->spec->command);
	if (takes_value(option))
		return store_with_value(parser, option, attached);
	if (attached)
		return log_fail(EINVAL, "--%s: takes no value", option->name);
	return store(parser, option, NULL);
}

/* "-a", "-abc", "-nvalue"; @text is past the dash. */
static int parse_letters(struct parser *parser, const char *text)
{
	for (; *text; text++) {
		const struct option *option = find_letter(parser->spec, *text);
		int err;

		if (!option)
			return log_fail(EINVAL,
					"-%c: unknown option; see %s --help",
					*text, parser->spec->command);
		if (takes_value(option))
			return store_with_value(parser, option,
						text[1] ? text + 1 : NULL);
		err = store(parser, option, NULL);
		if (err < 0)
			return err;
	}
	return 0;
}

static int parse_one(struct parser *parser)
{
	char *text = parser->argv[parser->next++];

	if (parser->only_operands || text[0] != '-' || text[1] == '\0') {
		parser->argv[parser->operand_end++] = text;
		parser->only_operands |= parser->spec->operands_last;
		return 0;
	}
	if (strcmp(text, "--") == 0) {
		parser->only_operands = true;
		return 0;
	}
	if (text[1] == '-')
		return parse_name(parser, text + 2);
	return parse_letters(parser, text + 1);
}

/* Whether --help or -h is given, before any "--". */
static bool wants_help(const struct parser *parser)
{
	const char *text = parser->argv[parser->next];

	return !parser->only_operands &&
	       (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0);
}

/* Checks the number of operands. */
static int check_operands(const struct parser *parser)
{
	const struct option_spec *spec = parser->spec;
	unsigned int count = (unsigned int)parser->operand_end - 1;

	if (count > spec->operands_max)
		return log_fail(EINVAL,
				"%s: unexpected argument; see %s --help",
				parser->argv[1 + spec->operands_max],
				spec->command);
	if (count < spec->operands_min)
		return log_fail(EINVAL, "missing %s; see %s --help",
				spec->operands, spec->command);
	return 0;
}

/* Prints a help text at the help column; @at is the current column. */
static void print_text(const char *text, int at)
{
	if (at >= HELP_COLUMN - 1) {
		putchar('\n');
		at = 0;
	}
	printf("%*s", HELP_COLUMN - at, "");
	for (; *text; text++) {
		putchar(*text);
		if (*text == '\n')
			printf("%*s", HELP_COLUMN, "");
	}
	putchar('\n');
}

/* Prints one row of the list of options. */
static void print_row(const struct option *option)
{
	int at;

	if (option->kind == OPTION_HEADING) {
		printf("\n%s:\n", option->help);
		return;
	}
	if (option->letter)
		at = printf("  -%c, --%s", option->letter, option->name);
	else
		at = printf("      --%s", option->name);
	if (option->kind == OPTION_CHOICE) {
		at += printf("%s", option->optional ? "[" : "");
		for (unsigned int i = 0; option->choices[i]; i++)
			at += printf("%c%s", i == 0 ? '=' : '|',
				     option->choices[i]);
		at += printf("%s", option->optional ? "]" : "");
	} else if (takes_value(option)) {
		at += printf("=%s",
			     option->metavar ? option->metavar : "VALUE");
	}
	print_text(option->help, at);
}

/* Prints the help to standard output. */
static void print_help(const struct option_spec *spec)
{
	static const struct option help = {
		.kind = OPTION_FLAG,
		.letter = 'h',
		.name = "help",
		.help = "show this help",
	};

	printf("usage: %s [OPTION]...%s%s\n\n%s\n", spec->command,
	       spec->operands ? " " : "", spec->operands ? spec->operands : "",
	       spec->about);
	if (spec->option_count == 0 || spec->options[0].kind != OPTION_HEADING)
		printf("\nOptions:\n");
	for (size_t i = 0; i < spec->option_count; i++)
		if (spec->options[i].help)
			print_row(&spec->options[i]);
	print_row(&help);
}

enum option_result option_parse(const struct option_spec *spec, int argc,
				char **argv, void *values,
				struct option_operands *operands)
{
	struct parser parser = {
		.spec = spec,
		.values = values,
		.argc = argc,
		.argv = argv,
		.next = 1,
		.operand_end = 1,
	};

	while (parser.next < argc) {
		if (wants_help(&parser)) {
			print_help(spec);
			return OPTION_HELPED;
		}
		if (parse_one(&parser) < 0)
			return OPTION_BAD;
	}
	if (check_operands(&parser) < 0)
		return OPTION_BAD;
	if (operands)
		*operands = (struct option_operands){
			.values = argv + 1,
			.count = (unsigned int)parser.operand_end - 1,
		};
	return OPTION_DONE;
}
