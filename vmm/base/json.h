/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A streaming JSON writer (RFC 8259). Values are written at once; @key is the
 * member's name within an object, NULL within an array and at the top level.
 * Strings may contain any bytes: invalid UTF-8 becomes U+FFFD, control
 * characters are escaped.
 *
 * One thread. The stream stays the caller's; json_finish() reports its errors.
 */
#ifndef VMM_BASE_JSON_H
#define VMM_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Maximum nesting of objects and arrays. */
#define JSON_DEPTH_MAX 32

struct json {
	FILE *to;
	bool pretty; /* line breaks and indentation */
	unsigned int depth;
	uint32_t has_member; /* one bit per level */
};

/* Starts a value on @to, on one line, or indented if @pretty. */
void json_init(struct json *json, FILE *to, bool pretty);

/* Ends with a newline; 0, or -EIO if a write failed. */
int json_finish(struct json *json);

void json_object_begin(struct json *json, const char *key);
void json_object_end(struct json *json);
void json_array_begin(struct json *json, const char *key);
void json_array_end(struct json *json);

/* NULL is written as null. */
void json_string(struct json *json, const char *key, const char *value);
void json_uint(struct json *json, const char *key, uint64_t value);
void json_bool(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);

#endif
