/* SPDX-License-Identifier: BSD-2-Clause */
/* Human-readable durations.  Pure functions; any thread. */
#include "vmm/base/duration.h"

#include <errno.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/base/fraction.h"

static const struct unit {
	const char *name;
	uint64_t ns;
} units[] = {
	{ "", NS_PER_S },	{ "ms", NS_PER_MS },	  { "s", NS_PER_S },
	{ "m", 60 * NS_PER_S }, { "h", 3600 * NS_PER_S },
};

/* Nanoseconds of the unit that @text consists of; 0: none does. */
static uint64_t unit_ns(const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (!strcmp(units[i].name, text))
			return units[i].ns;
	return 0;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int duration_parse(const char *text, uint64_t *ns)
{
	uint64_t whole = 0, billionths, unit;
	int err;

	if (!is_digit(*text))
		return -EINVAL;
	for (; is_digit(*text); text++)
		whole = min_u64(whole * 10 + (uint64_t)(*text - '0'),
				DURATION_MAX_NS);
	err = fraction_parse(&text, &billionths);
	if (err < 0)
		return err;
	unit = unit_ns(text);
	if (!unit)
		return -EINVAL;
	if (whole > DURATION_MAX_NS / unit)
		return -ERANGE;
	*ns = whole * unit + fraction_of(billionths, unit);
	return 0;
}
