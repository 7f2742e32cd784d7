/* SPDX-License-Identifier: BSD-2-Clause */
/* Human-readable sizes. Pure functions; any thread. */
#include "vmm/base/size.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "vmm/base/bytes.h"
#include "vmm/base/fraction.h"

/* The units, largest first. */
static const struct unit {
	char letter;
	uint64_t bytes;
} units[] = {
	{ 'T', TIB }, { 'G', GIB }, { 'M', MIB }, { 'K', KIB }, { 'B', 1 },
};

/* The unit of a letter, in either case, or NULL. */
static const struct unit *find_unit(char letter)
{
	if (letter >= 'a' && letter <= 'z')
		letter = (char)(letter - 'a' + 'A');
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (units[i].letter == letter)
			return &units[i];
	return NULL;
}

/* The unit at @text, which must be the rest of the string; 0: invalid. */
static uint64_t parse_unit(const char *text)
{
	const struct unit *unit;

	if (*text == '\0')
		return MIB;
	unit = find_unit(*text++);
	if (!unit)
		return 0;
	if (unit->bytes > 1) {
		if (text[0] == 'i' && (text[1] == 'B' || text[1] == 'b'))
			text++;
		if (*text == 'B' || *text == 'b')
			text++;
	}
	return *text == '\0' ? unit->bytes : 0;
}

/* Reads the digits at *@text into *@value and advances *@text. */
static int parse_digits(const char **text, uint64_t *value)
{
	*value = 0;
	for (; **text >= '0' && **text <= '9'; (*text)++)
		if (__builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, **text - '0', value))
			return -ERANGE;
	return 0;
}

int size_parse(const char *text, uint64_t *bytes)
{
	uint64_t whole, billionths, unit, product;
	int err;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	err = parse_digits(&text, &whole);
	if (err < 0)
		return err;
	err = fraction_parse(&text, &billionths);
	if (err < 0)
		return err;
	unit = parse_unit(text);
	if (unit == 0)
		return -EINVAL;
	if (__builtin_mul_overflow(whole, unit, &product) ||
	    __builtin_add_overflow(product, fraction_of(billionths, unit),
				   &product))
		return -ERANGE;
	*bytes = product;
	return 0;
}

char *size_format(uint64_t bytes, char text[SIZE_TEXT_BYTES])
{
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (bytes % units[i].bytes != 0)
			continue;
		if (bytes == 0)
			i = ARRAY_SIZE(units) - 1;
		snprintf(text, SIZE_TEXT_BYTES, "%" PRIu64 "%c",
			 bytes / units[i].bytes, units[i].letter);
		break;
	}
	return text;
}
