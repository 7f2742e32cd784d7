/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Command-line options as a table of rows.
 *
 * A subcommand declares a struct for its values, a constant table of rows, each
 * with the offset of its member, and a spec.  option_parse() fills the struct
 * and writes --help from the same table.  Accepted, as users of getopt_long(3)
 * know it: --name=value, --name value, -nvalue, -n value, -abc for flags, "--"
 * before operands; options and operands in any order.  No abbreviations: a
 * script that says --mem keeps its meaning when --memory is added.
 *
 * A value given twice: the last one counts, except for lists.  Members that no
 * option sets keep what the caller stored before: the defaults.
 *
 * One thread; nothing is allocated, strings point into argv.
 */
#ifndef VMM_BASE_OPTION_H
#define VMM_BASE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a row stores, and the C type of the member it is stored in. */
enum option_kind {
	OPTION_HEADING, /* nothing: help is a heading of the list */
	OPTION_FLAG, /* bool: set to true; takes no value */
	OPTION_COUNT, /* unsigned int: how often it was given; no value */
	OPTION_STRING, /* const char * */
	OPTION_UINT, /* unsigned int, decimal */
	OPTION_SIZE, /* uint64_t, bytes; see size.h: a plain number is MiB */
	OPTION_CHOICE, /* an enum: the index of the word in choices */
	OPTION_LIST, /* struct option_list: may be given again */
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
	const char *metavar; /* what --help calls the value; NULL: VALUE */
	const char *help; /* "\n" starts a new line; NULL: not in --help */
	const char *const *choices; /* OPTION_CHOICE, ended by NULL */
	/* Bounds of OPTION_UINT and OPTION_SIZE (bytes); max 0: no upper one. */
	uint64_t min, max;
	/*
	 * OPTION_CHOICE: without "=value" the first of the choices is meant,
	 * and the next argument is not looked at.
	 */
	bool optional;
};

struct option_spec {
	const char *command; /* "thaw run" */
	const char *operands; /* as --help shows them: "DIR"; NULL: none */
	const char *about; /* what --help says first, ends without newline */
	const struct option *options;
	size_t option_count;
	unsigned int operands_min, operands_max;
	/* The first operand ends the options: for commands that run a command. */
	bool operands_last;
};

/* The operands, in order, within argv. */
struct option_operands {
	char **values;
	unsigned int count;
};

enum option_result {
	OPTION_DONE, /* values are filled; go on */
	OPTION_HELPED, /* --help was asked for and is on standard output */
	OPTION_BAD, /* logged, one line with the option and the reason */
};

/*
 * Parses argv[1] and on into @values.  @operands may be NULL where the spec
 * allows none.  argv is permuted: operands move to its front.
 */
enum option_result option_parse(const struct option_spec *spec, int argc,
				char **argv, void *values,
				struct option_operands *operands);

#endif
