/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Console output.  A call formats up to 256 bytes and writes them at once, so
 * lines of different processors do not mix.
 */
#ifndef GUEST_PRINT_H
#define GUEST_PRINT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* %s %c %d %u %x %%, with l or z, a width (* too), 0 and -. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Without the lock, for a guest that is about to end. */
void print_urgent(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/* Formats to @to, truncated to @room bytes. */
void print_into(char *to, size_t room, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void print_into_v(char *to, size_t room, const char *format, va_list ap)
	__attribute__((format(printf, 3, 0)));

/* @bytes in the largest suitable unit: "256 MiB", "1.5 GiB". */
struct text {
	char s[24];
};
struct text text_bytes(uint64_t bytes);

/* A counter span: "1.25 us", or "3120 cycles" if @hz is 0. */
struct text text_cycles(uint64_t cycles, uint64_t hz);

#endif
