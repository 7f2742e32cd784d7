/* SPDX-License-Identifier: BSD-2-Clause */
/* Human-readable sizes: a number with K, M, G or T, in powers of 1024. */
#ifndef VMM_BASE_SIZE_H
#define VMM_BASE_SIZE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Parses "512M", "2G", "64k", "1.5G", "4096B"; a plain number is in MiB, like
 * the memory options of other VMMs. A "B" or "iB" after the unit is accepted.
 * -EINVAL if malformed, -ERANGE if too large; silent.
 */
int size_parse(const char *text, uint64_t *bytes);

#define SIZE_TEXT_BYTES 32

/*
 * Formats @bytes with the largest unit that gives a whole number ("512M",
 * "4097K", "100B"); size_parse() returns the same value. Returns @text.
 */
char *size_format(uint64_t bytes, char text[SIZE_TEXT_BYTES]);

#endif
