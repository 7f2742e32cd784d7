/* SPDX-License-Identifier: BSD-2-Clause */
/* Result lines of test guests, and their count. */
#include <stdatomic.h>

#include "guest/lib/check.h"
#include "guest/lib/print.h"

static atomic_uint checks, failures;

bool check(bool passed, const char *format, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, format);
	print_into_v(text, sizeof(text), format, ap);
	va_end(ap);
	atomic_fetch_add_explicit(&checks, 1, memory_order_relaxed);
	if (!passed)
		atomic_fetch_add_explicit(&failures, 1, memory_order_relaxed);
	print("%s: %s\n", passed ? "PASS" : "FAIL", text);
	return passed;
}

void check_skip(const char *format, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, format);
	print_into_v(text, sizeof(text), format, ap);
	va_end(ap);
	print("SKIP: %s\n", text);
}

void check_summary(void)
{
	print("SUMMARY: %u checks, %u failed\n",
	      atomic_load_explicit(&checks, memory_order_relaxed),
	      atomic_load_explicit(&failures, memory_order_relaxed));
}
