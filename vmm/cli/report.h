/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A report: items in sections, each with an answer and a sentence, written for
 * people or as JSON from the same list.  One thread; nothing is allocated.
 */
#ifndef VMM_CLI_REPORT_H
#define VMM_CLI_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json;

enum report_answer {
	REPORT_NO,
	REPORT_YES,
	REPORT_FACT, /* neither: a number or a word, in the text */
};

struct report_item {
	const char *section; /* not owned; a run of equal ones is a section */
	const char *title; /* of the section; not owned */
	const char *name; /* not owned */
	enum report_answer answer;
	bool has_value;
	uint64_t value; /* for programs, where there is a number */
	char text[320];
};

#define REPORT_ITEMS_MAX 96

struct report {
	const char *section, *title; /* of the items that are added now */
	unsigned int count;
	struct report_item items[REPORT_ITEMS_MAX];
};

/*
 * The items that follow belong to @section, as programs call it; people see
 * @title.  Both strings stay the caller's.
 */
void report_section(struct report *report, const char *section,
		    const char *title);

/* Adds an item with a sentence; what does not fit is left out. */
struct report_item *report_add(struct report *report, const char *name,
			       enum report_answer answer, const char *format,
			       ...) __attribute__((format(printf, 4, 5)));

/* The same with a number for programs. */
#define report_add_value(report, name, answer, number, ...)            \
	do {                                                           \
		struct report_item *item_ =                            \
			report_add(report, name, answer, __VA_ARGS__); \
		item_->has_value = true;                               \
		item_->value = (number);                               \
	} while (0)

/* Writes it in columns, sentences wrapped at 80. */
void report_write(const struct report *report, FILE *to);

/*
 * Writes it as one member a section, in it one object an item: "yes" (true,
 * false or absent), "value" where there is one, "text".
 */
void report_write_json(const struct report *report, struct json *json);

#endif
