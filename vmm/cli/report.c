/* SPDX-License-Identifier: BSD-2-Clause */
/* A report as text and as JSON. */
#include "vmm/cli/report.h"

#include <stdarg.h>
#include <string.h>

#include "vmm/base/json.h"

/* The column of the text, and the width of wrapped lines. */
#define TEXT_COLUMN 33
#define LINE_COLUMN 80

void report_section(struct report *report, const char *section,
		    const char *title)
{
	report->section = section;
	report->title = title;
}

/* A full report overwrites its last item. */
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

/* Writes @text from column @at on, wrapped between words. */
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

void report_write(const struct report *report, FILE *to)
{
	static const char *const answers[] = {
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
		fprintf(to, "  %-26s %-4s", item->name, answers[item->answer]);
		write_wrapped(to, item->text, TEXT_COLUMN);
	}
}

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
