/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A report: items in sections, each with an answer and a text, printed as text
 * or JSON from the same list.  One thread; nothing is allocated.
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
	REPORT_FACT, /* neither: the text has a number or a name */
};

struct report_item {
	const char *section; /* not owned; a run of equal ones is a section */
	const char *title; /* of the section; not owned */
	const char *name; /* not owned */
	enum report_answer answer;
	bool has_value;
	uint64_t value; /* for JSON, if has_value */
	char text[320];
};

#define REPORT_ITEMS_MAX 96

struct report {
	const char *section, *title; /* of items added from now on */
	unsigned int count;
	struct report_item items[REPORT_ITEMS_MAX];
};

/*
 * Items added from now on belong to @section (JSON) or @title (text).  The
 * strings are not copied.
 */
void report_section(struct report *report, const char *section,
		    const char *title);

/* Adds an item; a text that is too long is truncated. */
struct report_item *report_add(struct report *report, const char *name,
			       enum report_answer answer, const char *format,
			       ...) __attribute__((format(printf, 4, 5)));

/* Adds an item with a number for JSON. */
#define report_add_value(report, name, answer, number, ...)            \
	do {                                                           \
		struct report_item *item_ =                            \
			report_add(report, name, answer, __VA_ARGS__); \
		item_->has_value = true;                               \
		item_->value = (number);                               \
	} while (0)

/* Prints columns, wrapped at 80. */
void report_write(const struct report *report, FILE *to);

/*
 * Writes one member per section, with one object per item: "yes" (true, false
 * or absent), "value" (optional) and "text".
 */
void report_write_json(const struct report *report, struct json *json);

#endif
