/* SPDX-License-Identifier: BSD-2-Clause */
/* A report, for people and for programs.  One thread; see the header. */
#include "vmm/cli/report.h"

#include <stdarg.h>
#include <string.h>

#include "vmm/base/json.h"

/* Where the sentences start, and where lines end. */
#define TEXT_COLUMN 33
#define LINE_COLUMN 80

/* Starts a section. */
void report_section(struct report *report, const char *section,
		    const char *title)
{
	report->section = section;
	report->title = title;
}

/* Adds an item; a full report writes over its last one. */
struct report_item *report_add(struct report *report, const char *name,
			       enum report_answer answer, const char *format,
			       ...)
{
	unsigned int at = report->count < REPORT_ITEMS_MAX ?
				  report->count++ :
				  REPORT_ITEMS_MAX - 1;
	struct report_item *item = &report->items[at];
	va_list ap;

	*item = (struct report_item){
		.section = report->section,
		.title = report->title,
		.name = name,
		.answer = answer,
	};
	va_start(ap, format);
	vsnprintf(item->text, sizeof(item->text), format, ap);
	va_end(ap);
	return item;
}

/* Writes a sentence from column @at on, wrapped between words. */
static void write_wrapped(FILE *to, const char *text, size_t at)
{
	while (*text) {
		size_t len = strcspn(text, " ");

		if (at + 1 + len > LINE_COLUMN && at > TEXT_COLUMN) {
			fprintf(to, "\n%*s", TEXT_COLUMN, "");
			at = TEXT_COLUMN;
		} else if (at > TEXT_COLUMN) {
			fputc(' ', to);
			at++;
		}
		fprintf(to, "%.*s", (int)len, text);
		at += len;
		text += len;
		text += strspn(text, " ");
	}
	fputc('\n', to);
}

/* Writes it in columns; see the header. */
void report_write(const struct report *report, FILE *to)
{
	static const char *const words[] = {
		[REPORT_NO] = "no",
		[REPORT_YES] = "yes",
		[REPORT_FACT] = "",
	};
	const char *section = NULL;

	for (unsigned int i = 0; i < report->count; i++) {
		const struct report_item *item = &report->items[i];

		if (item->section != section)
			fprintf(to, "%s%s:\n", section ? "\n" : "",
				item->title);
		section = item->section;
		fprintf(to, "  %-26s %-4s", item->name, words[item->answer]);
		write_wrapped(to, item->text, TEXT_COLUMN);
	}
}

/* Writes one item as a member. */
static void write_item(const struct report_item *item, struct json *json)
{
	json_object_begin(json, item->name);
	if (item->answer != REPORT_FACT)
		json_bool(json, "yes", item->answer == REPORT_YES);
	if (item->has_value)
		json_uint(json, "value", item->value);
	json_string(json, "text", item->text);
	json_object_end(json);
}

/* Writes the sections as members; see the header. */
void report_write_json(const struct report *report, struct json *json)
{
	const char *section = NULL;

	for (unsigned int i = 0; i < report->count; i++) {
		const struct report_item *item = &report->items[i];

		if (item->section != section) {
			if (section)
				json_object_end(json);
			section = item->section;
			json_object_begin(json, section);
		}
		write_item(item, json);
	}
	if (section)
		json_object_end(json);
}
