/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Output of test guests: a line "PASS: ...", "FAIL: ..." or "SKIP: ..." for
 * each check, and at the end "SUMMARY: 7 checks, 0 failed".  Any processor.
 */
#ifndef GUEST_CHECK_H
#define GUEST_CHECK_H

#include <stdbool.h>

bool check(bool passed, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void check_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));
void check_summary(void);

#endif
