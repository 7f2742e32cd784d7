/* SPDX-License-Identifier: BSD-2-Clause */
/* A streaming JSON writer.  One thread; all state is in struct json. */
#include "vmm/base/json.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

void json_init(struct json *json, FILE *to, bool pretty)
{
	*json = (struct json){ .to = to, .pretty = pretty };
}

int json_finish(struct json *json)
{
	assert(json->depth == 0);
	fputc('\n', json->to);
	return fflush(json->to) == 0 && !ferror(json->to) ? 0 : -EIO;
}

/* Starts a line with the indentation of the current depth. */
static void new_line(const struct json *json)
{
	if (json->pretty)
		fprintf(json->to, "\n%*s", (int)json->depth * 2, "");
}

/*
 * The length of the UTF-8 sequence at @s (RFC 3629, section 4); 0 if it is
 * invalid, including overlong forms, surrogates and values above U+10FFFF. The
 * terminating zero is never a continuation byte, so nothing after it is read.
 */
static unsigned int utf8_length(const unsigned char *s)
{
	unsigned int len, low = 0x80, high = 0xbf;

	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		len = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		len = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;
	if (s[1] < low || s[1] > high)
		return 0;
	for (unsigned int i = 2; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

/* Writes one ASCII character, escaped if necessary. */
static void write_ascii(FILE *to, unsigned char c)
{
	static const char named[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
	const char *at = strchr(named, c);

	if (at && c != '\0')
		fprintf(to, "\\%c", letters[at - named]);
	else if (c < 0x20 || c == 0x7f)
		fprintf(to, "\\u%04x", c);
	else
		fputc(c, to);
}

static void write_string(FILE *to, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	fputc('"', to);
	while (*s) {
		unsigned int len = utf8_length(s);

		if (*s < 0x80) {
			write_ascii(to, *s++);
		} else if (len == 0) {
			fputs("\\ufffd", to);
			s++;
		} else {
			fwrite(s, 1, len, to);
			s += len;
		}
	}
	fputc('"', to);
}

/* Writes the separator, the line break and the key before a value. */
static void begin_value(struct json *json, const char *key)
{
	uint32_t bit = UINT32_C(1) << json->depth;

	if (json->depth > 0) {
		if (json->has_member & bit)
			fputc(',', json->to);
		new_line(json);
		json->has_member |= bit;
	}
	if (!key)
		return;
	write_string(json->to, key);
	fputs(json->pretty ? ": " : ":", json->to);
}

static void open_level(struct json *json, const char *key, char bracket)
{
	assert(json->depth + 1 < JSON_DEPTH_MAX);
	begin_value(json, key);
	fputc(bracket, json->to);
	json->depth++;
	json->has_member &= ~(UINT32_C(1) << json->depth);
}

static void close_level(struct json *json, char bracket)
{
	bool empty = !(json->has_member & UINT32_C(1) << json->depth);

	assert(json->depth > 0);
	json->depth--;
	if (!empty)
		new_line(json);
	fputc(bracket, json->to);
}

void json_object_begin(struct json *json, const char *key)
{
	open_level(json, key, '{');
}

void json_object_end(struct json *json)
{
	close_level(json, '}');
}

void json_array_begin(struct json *json, const char *key)
{
	open_level(json, key, '[');
}

void json_array_end(struct json *json)
{
	close_level(json, ']');
}

void json_string(struct json *json, const char *key, const char *value)
{
	begin_value(json, key);
	if (value)
		write_string(json->to, value);
	else
		fputs("null", json->to);
}

void json_uint(struct json *json, const char *key, uint64_t value)
{
	begin_value(json, key);
	fprintf(json->to, "%" PRIu64, value);
}

void json_bool(struct json *json, const char *key, bool value)
{
	begin_value(json, key);
	fputs(value ? "true" : "false", json->to);
}

void json_null(struct json *json, const char *key)
{
	begin_value(json, key);
	fputs("null", json->to);
}
