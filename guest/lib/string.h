/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The few functions of <string.h> that guests use, and that the compiler calls.
 */
#ifndef GUEST_STRING_H
#define GUEST_STRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *to, const void *from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *to, int byte, size_t len);
int memcmp(const void *a, const void *b, size_t len);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t len);

/* Copies @from into @room bytes at @to, cut where it is too long. */
void string_copy(char *to, const char *from, size_t room);

/*
 * Reads a number, decimal or 0x-hexadecimal, with an optional K, M, G or T
 * behind it; false when @s does not start with one.
 */
bool string_number(const char *s, uint64_t *value);

#endif
