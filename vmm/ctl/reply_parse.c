/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A recursive-descent parser, which stops at the first error.  One thread; all
 * state is in struct scan.
 */
#include "vmm/ctl/reply_parse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/cleanup.h"

/* The deepest nesting of values that are skipped. */
#define DEPTH_MAX 32

/* Where we are; @bad stays once it is set. */
struct scan {
	const char *at;
	bool bad;
};

/* Passes over blanks and looks at what comes. */
static char peek(struct scan *scan)
{
	scan->at += strspn(scan->at, " \t\r\n");
	return *scan->at;
}

/* Takes @c if it comes next. */
static bool take(struct scan *scan, char c)
{
	if (scan->bad || peek(scan) != c)
		return false;
	scan->at++;
	return true;
}

static void demand(struct scan *scan, char c)
{
	if (!take(scan, c))
		scan->bad = true;
}

/* Takes a word such as "true". */
static bool take_word(struct scan *scan, const char *word)
{
	size_t len = strlen(word);

	peek(scan);
	if (scan->bad || strncmp(scan->at, word, len) != 0)
		return false;
	scan->at += len;
	return true;
}

/* The four digits of an escape. */
static uint32_t take_hex(struct scan *scan)
{
	static const char digits[] = "0123456789abcdef";
	uint32_t v = 0;

	for (int i = 0; i < 4 && !scan->bad; i++) {
		char c = *scan->at;
		const char *digit =
			c ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) :
			    NULL;

		if (!digit) {
			scan->bad = true;
			return 0;
		}
		v = v << 4 | (uint32_t)(digit - digits);
		scan->at++;
	}
	return v;
}

/* A character behind "\u", of which there may be two parts. */
static uint32_t take_unicode(struct scan *scan)
{
	uint32_t c = take_hex(scan), low;

	if (c < 0xd800 || c > 0xdfff)
		return c;
	if (c > 0xdbff || strncmp(scan->at, "\\u", 2) != 0)
		return 0xfffd; /* half of a pair */
	scan->at += 2;
	low = take_hex(scan);
	if (low < 0xdc00 || low > 0xdfff)
		return 0xfffd;
	return 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00));
}

/* Writes a character as UTF-8 (RFC 3629); the end. */
static char *put_utf8(char *to, uint32_t c)
{
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
		*to++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*to++ = (char)(0xe0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	} else {
		*to++ = (char)(0xf0 | c >> 18);
		*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	}
	return to;
}

/* One escape, behind its backslash. */
static char *take_escape(struct scan *scan, char *to)
{
	static const char letters[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
	char c = *scan->at;
	const char *letter = c ? strchr(letters, c) : NULL;

	if (letter) {
		scan->at++;
		*to++ = means[letter - letters];
		return to;
	}
	if (c != 'u') {
		scan->bad = true;
		return to;
	}
	scan->at++;
	return put_utf8(to, take_unicode(scan));
}

/*
 * A string, the caller's to free; NULL: bad.  It is never longer than its text:
 * six characters become three bytes at most, twelve become four.
 */
static char *take_string(struct scan *scan)
{
	CLEANUP_FREE char *text = NULL;
	char *to;

	demand(scan, '"');
	if (!scan->bad)
		text = malloc(strlen(scan->at) + 1);
	to = text;
	while (to && !scan->bad && *scan->at != '"') {
		if (*scan->at == '\\') {
			scan->at++;
			to = take_escape(scan, to);
		} else if ((unsigned char)*scan->at < ' ') {
			scan->bad = true; /* the end of the text among them */
		} else {
			*to++ = *scan->at++;
		}
	}
	if (!to || scan->bad) {
		scan->bad = true;
		return NULL;
	}
	scan->at++;
	*to = '\0';
	return take_ptr(text);
}

/* A whole number that is not negative. */
static uint64_t take_uint(struct scan *scan)
{
	char *end;
	uint64_t v;

	if (peek(scan) < '0' || *scan->at > '9') {
		scan->bad = true;
		return 0;
	}
	errno = 0;
	v = strtoumax(scan->at, &end, 10);
	scan->bad |= errno != 0;
	scan->at = end;
	return v;
}

static void skip_value(struct scan *scan, unsigned int depth);

/* Skips the members of an object or the values of an array. */
static void skip_many(struct scan *scan, char end, unsigned int depth)
{
	if (depth == DEPTH_MAX)
		scan->bad = true;
	if (take(scan, end))
		return;
	do {
		if (end == '}') {
			free(take_string(scan));
			demand(scan, ':');
		}
		skip_value(scan, depth + 1);
	} while (take(scan, ','));
	demand(scan, end);
}

static void skip_value(struct scan *scan, unsigned int depth)
{
	if (scan->bad)
		return;
	if (peek(scan) == '"') {
		free(take_string(scan));
	} else if (take(scan, '{')) {
		skip_many(scan, '}', depth);
	} else if (take(scan, '[')) {
		skip_many(scan, ']', depth);
	} else if (!take_word(scan, "true") && !take_word(scan, "false") &&
		   !take_word(scan, "null")) {
		size_t len = strspn(scan->at, "0123456789+-.eE");

		scan->bad |= len == 0;
		scan->at += len;
	}
}

/* The object of a progress line. */
static void take_progress(struct scan *scan, struct ctl_reply *reply)
{
	reply->has_progress = true;
	demand(scan, '{');
	if (take(scan, '}'))
		return;
	do {
		CLEANUP_FREE char *key = take_string(scan);

		demand(scan, ':');
		if (key && strcmp(key, "pages") == 0)
			reply->pages = take_uint(scan);
		else if (key && strcmp(key, "of") == 0)
			reply->of = take_uint(scan);
		else
			skip_value(scan, 1);
	} while (take(scan, ','));
	demand(scan, '}');
}

/* The value of a member of the reply. */
static void take_member(struct scan *scan, const char *key,
			struct ctl_reply *reply)
{
	if (strcmp(key, "ok") == 0) {
		reply->has_ok = true;
		reply->ok = take_word(scan, "true");
		if (!reply->ok && !take_word(scan, "false"))
			scan->bad = true;
	} else if (strcmp(key, "error") == 0) {
		free(reply->error);
		reply->error = take_string(scan);
	} else if (strcmp(key, "progress") == 0) {
		take_progress(scan, reply);
	} else {
		skip_value(scan, 1);
	}
}

int ctl_reply_parse(struct ctl_reply *reply, const char *line)
{
	struct scan scan = { .at = line };

	*reply = (struct ctl_reply){ .error = NULL };
	demand(&scan, '{');
	if (!take(&scan, '}')) {
		do {
			CLEANUP_FREE char *key = take_string(&scan);

			demand(&scan, ':');
			if (key)
				take_member(&scan, key, reply);
		} while (take(&scan, ','));
		demand(&scan, '}');
	}
	if (peek(&scan) != '\0')
		scan.bad = true;
	return scan.bad ? -EBADMSG : 0;
}

void ctl_reply_free(struct ctl_reply *reply)
{
	free(reply->error);
	reply->error = NULL;
}
