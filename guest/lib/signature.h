/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Page contents that depend on the page number and the word.  For guests, and
 * for host tests that create files for guests.
 */
#ifndef GUEST_SIGNATURE_H
#define GUEST_SIGNATURE_H

#include <stdint.h>

#define SIGNATURE_WORDS 512 /* of 8 bytes, in a page of 4 KiB */

/* Mixes the bits of a number (the finaliser of SplitMix64). */
static inline uint64_t signature_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static inline uint64_t signature_word(uint64_t page, unsigned int word)
{
	return signature_mix(page * SIGNATURE_WORDS + word);
}

#endif
