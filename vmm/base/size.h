/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sizes as people write them: a number with K, M, G or T, in powers of 1024.
 */
#ifndef VMM_BASE_SIZE_H
#define VMM_BASE_SIZE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Reads "512M", "2G", "64k", "1.5G", "4096B"; a plain number counts MiB, as the
 * memory options of other launchers do.  A "B" or "iB" after the unit is fine.
 * -EINVAL when it is no size, -ERANGE when it does not fit; silent.
 */
int size_parse(const char *text, uint64_t *bytes);

#define SIZE_TEXT_BYTES 32

/*
 * Writes @bytes with the largest unit that leaves a whole number ("512M",
 * "4097K", "100B"): what size_parse() reads back to the same.  Returns @text.
 */
char *size_format(uint64_t bytes, char text[SIZE_TEXT_BYTES]);

#endif
