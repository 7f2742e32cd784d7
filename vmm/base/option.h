/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Command-line options as a table of rows.
 *
 * A subcommand declares a struct for its values, a constant table of rows, each
 * with the offset of its member, and a spec. option_parse() fills the struct
 * and prints --help from the same table.
 *
 * Syntax as with getopt_long(3): --name=value, --name value, -nvalue, -n value,
 * -abc for flags, "--" before operands; options and operands in any order. No
 * abbreviations, so scripts that use --mem still work when --memory is added.
 * If a value is given twice, the last one counts, except for lists. Members
 * without an option on the command line keep the caller's defaults.
 *
 * One thread; nothing is allocated, strings point into argv.
 */
#ifndef VMM_BASE_OPTION_H
#define VMM_BASE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The kind of a value, and the C type of its member. */
enum option_kind {
	OPTION_HEADING, /* nothing: help is a heading */
	OPTION_FLAG, /* bool: set to true; takes no value */
	OPTION_COUNT, /* unsigned int: number of occurrences; no value */
	OPTION_STRING, /* const char * */
	OPTION_UINT, /* unsigned int, decimal */
	OPTION_SIZE, /* uint64_t, bytes; see size.h: a plain number is MiB */
	OPTION_DURATION, /* uint64_t, ns; see duration.h: a number is seconds */
	OPTION_CHOICE, /* an enum: the index in choices */
	OPTION_LIST, /* struct option_list: may be repeated */
};

#define OPTION_LIST_MAX 32

struct option_list {
	const char *values[OPTION_LIST_MAX];
	unsigned int count;
};

struct option {
	enum option_kind kind;
	char letter; /* '\0': none */
	const char *name; /* without dashes */
	size_t offset; /* of the member */
	const char *metavar; /* name of the value in --help; NULL: VALUE */
	const char *help; /* "\n" starts a new line; NULL: not in --help */
	const char *const *choices; /* OPTION_CHOICE, ended by NULL */
	/*
	 * Bounds of OPTION_UINT and OPTION_SIZE (bytes); max 0: no upper bound.
	 * OPTION_DURATION has none.
	 */
	uint64_t min, max;
	/*
	 * OPTION_CHOICE: without "=value" the first choice is used, and the
	 * next argument is not consumed.
	 */
	bool optional;
};

struct option_spec {
	const char *command; /* "thaw run" */
	const char *operands; /* as shown by --help: "DIR"; NULL: none */
	const char *about; /* start of --help, without final newline */
	const struct option *options;
	size_t option_count;
	unsigned int operands_min, operands_max;
	/*
	 * The first operand ends the options: for commands that run a command.
	 */
	bool operands_last;
};

/* The operands, in order, within argv. */
struct option_operands {
	char **values;
	unsigned int count;
};

enum option_result {
	OPTION_DONE, /* values are filled in */
	OPTION_HELPED, /* --help was printed */
	OPTION_BAD, /* logged, with the option and the reason */
};

/*
 * Parses argv[1] and following into @values. @operands may be NULL if the spec
 * allows none. argv is permuted: operands move to its front.
 */
enum option_result option_parse(const struct option_spec *spec, int argc,
				char **argv, void *values,
				struct option_operands *operands);

#endif
