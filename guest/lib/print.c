/* SPDX-License-Identifier: BSD-2-Clause */
/* Formatting, and the lock that keeps lines whole. */
#include <stdbool.h>

#include "guest/lib/console.h"
#include "guest/lib/print.h"
#include "guest/lib/spin.h"
#include "guest/lib/string.h"

/* The output buffer; @len may exceed its size. */
struct sink {
	char *to;
	size_t room, len;
};

/* A conversion specification. */
struct spec {
	bool left, zero, wide;
	int width;
};

static void put(struct sink *sink, char c)
{
	if (sink->len + 1 < sink->room)
		sink->to[sink->len++] = c;
}

/* Writes @len bytes of @s, padded to the width. */
static void put_field(struct sink *sink, const struct spec *spec, const char *s,
		      size_t len)
{
	int fill = spec->width - (int)len;

	for (; !spec->left && fill > 0; fill--)
		put(sink, spec->zero ? '0' : ' ');
	while (len--)
		put(sink, *s++);
	for (; fill > 0; fill--)
		put(sink, ' ');
}

/* Writes a number; a minus sign counts as a digit. */
static void put_number(struct sink *sink, const struct spec *spec, uint64_t n,
		       unsigned int base, bool negative)
{
	char digits[24], *p = digits + sizeof(digits);

	do
		*--p = "0123456789abcdef"[n % base];
	while (n /= base);
	if (negative)
		*--p = '-';
	put_field(sink, spec, p, (size_t)(digits + sizeof(digits) - p));
}

/* Parses flags, width and length; returns the rest. */
static const char *parse_spec(const char *f, struct spec *spec, va_list *ap)
{
	*spec = (struct spec){ 0 };
	for (;; f++) {
		if (*f == '-')
			spec->left = true;
		else if (*f == '0')
			spec->zero = true;
		else
			break;
	}
	if (*f == '*') {
		spec->width = va_arg(*ap, int);
		f++;
	}
	for (; *f >= '0' && *f <= '9'; f++)
		spec->width = spec->width * 10 + (*f - '0');
	for (; *f == 'l' || *f == 'z'; f++)
		spec->wide = true;
	return f;
}

/* Formats the argument of one conversion. */
static void convert(struct sink *sink, char letter, const struct spec *spec,
		    va_list *ap)
{
	const char *s;
	int64_t d;
	char c;

	switch (letter) {
	case 's':
		s = va_arg(*ap, const char *);
		put_field(sink, spec, s, strlen(s));
		break;
	case 'c':
		c = (char)va_arg(*ap, int);
		put_field(sink, spec, &c, 1);
		break;
	case 'd':
		d = spec->wide ? va_arg(*ap, long) : va_arg(*ap, int);
		put_number(sink, spec, d < 0 ? -(uint64_t)d : (uint64_t)d, 10,
			   d < 0);
		break;
	case 'u':
	case 'x':
		put_number(sink, spec,
			   spec->wide ? va_arg(*ap, unsigned long) :
					va_arg(*ap, unsigned int),
			   letter == 'x' ? 16 : 10, false);
		break;
	default:
		put(sink, letter);
	}
}

/*
 * A copy: where va_list is an array, the address of a parameter has a different
 * type.
 */
void print_into_v(char *to, size_t room, const char *format, va_list list)
{
	struct sink sink = { .to = to, .room = room };
	struct spec spec;
	va_list ap;

	va_copy(ap, list);
	for (; *format; format++) {
		if (*format != '%') {
			put(&sink, *format);
			continue;
		}
		format = parse_spec(format + 1, &spec, &ap);
		if (!*format)
			break;
		convert(&sink, *format, &spec, &ap);
	}
	va_end(ap);
	to[sink.len] = 0;
}

void print_into(char *to, size_t room, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	print_into_v(to, room, format, ap);
	va_end(ap);
}

void print(const char *format, ...)
{
	static struct spin lock;
	char line[256];
	va_list ap;

	va_start(ap, format);
	print_into_v(line, sizeof(line), format, ap);
	va_end(ap);
	spin_lock(&lock);
	console_write(line, strlen(line));
	spin_unlock(&lock);
}

void print_urgent(const char *format, ...)
{
	char line[256];
	va_list ap;

	va_start(ap, format);
	print_into_v(line, sizeof(line), format, ap);
	va_end(ap);
	console_write(line, strlen(line));
}

struct text text_bytes(uint64_t bytes)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB",
					     "TiB" };
	unsigned int unit = 0;
	uint64_t tenths = bytes * 10;
	struct text text;

	for (; tenths >= 10240 && unit < 4; unit++)
		tenths = (tenths + 512) / 1024;
	if (tenths % 10)
		print_into(text.s, sizeof(text.s), "%lu.%lu %s", tenths / 10,
			   tenths % 10, units[unit]);
	else
		print_into(text.s, sizeof(text.s), "%lu %s", tenths / 10,
			   units[unit]);
	return text;
}

struct text text_cycles(uint64_t cycles, uint64_t hz)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	unsigned int unit = 0;
	struct text text;
	uint64_t whole, rest, ps;

	if (!hz) {
		print_into(text.s, sizeof(text.s), "%lu cycles", cycles);
		return text;
	}
	/* In 1/1000 units, without overflow. */
	whole = cycles / hz;
	rest = cycles % hz;
	ps = whole >= 1000 ? 0 :
			     rest * 1000 / (hz / 1000000 ? hz / 1000000 : 1);
	ps = ps * 1000 + whole * 1000000000000;
	for (; ps >= 1000000 && unit < 3; unit++)
		ps /= 1000;
	print_into(text.s, sizeof(text.s), "%lu.%02lu %s", ps / 1000,
		   ps % 1000 / 10, units[unit]);
	return text;
}
