/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Contents that tell which page they belong to: word w of page p.  For guests,
 * and for the tests on the host that make what guests look at.
 */
#ifndef GUEST_SIGNATURE_H
#define GUEST_SIGNATURE_H

#include <stdint.h>

#define SIGNATURE_WORDS 512 /* of 8 bytes, in a page of 4 KiB */

/* Spreads the bits of a number (the finaliser of SplitMix64). */
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
