/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/base/fraction.h"

#include <errno.h>
#include <stdbool.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int fraction_parse(const char **text, uint64_t *billionths)
{
	uint64_t worth = 100000000;

	*billionths = 0;
	if (**text != '.')
		return 0;
	(*text)++;
	if (!is_digit(**text))
		return -EINVAL;
	for (; is_digit(**text); (*text)++, worth /= 10)
		*billionths += (uint64_t)(**text - '0') * worth;
	return 0;
}

uint64_t fraction_of(uint64_t billionths, uint64_t unit)
{
	/* The product may be wider than 64 bits. */
	return (uint64_t)((unsigned __int128)billionths * unit / 1000000000);
}
