/* SPDX-License-Identifier: BSD-2-Clause */
/* The functions of <string.h> that guests and the compiler use. */
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

/* Copies @from to @to, truncated to @room bytes. */
void string_copy(char *to, const char *from, size_t room);

/*
 * Parses a number, decimal or 0x-hexadecimal, with an optional suffix K, M, G
 * or T; false if @s does not start with one.
 */
bool string_number(const char *s, uint64_t *value);

#endif
