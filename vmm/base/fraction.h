/* SPDX-License-Identifier: BSD-2-Clause */
/* The part of a number after its point, for sizes and durations. Any thread. */
#ifndef VMM_BASE_FRACTION_H
#define VMM_BASE_FRACTION_H

#include <stdint.h>

/*
 * Reads ".DIGITS" at *@text, if it is there, and advances *@text. Nine digits
 * count, in billionths; others are less than any unit has. -EINVAL for a point
 * without digits.
 */
int fraction_parse(const char **text, uint64_t *billionths);

/* So many billionths of @unit, rounded down. */
uint64_t fraction_of(uint64_t billionths, uint64_t unit);

#endif
