/* SPDX-License-Identifier: BSD-2-Clause */
/* Bitmaps in words of 64: bit 0 is the lowest of word 0. */
#ifndef VMM_BASE_BITS_H
#define VMM_BASE_BITS_H

#include <stdatomic.h>
#include <stdint.h>

#include "vmm/base/bytes.h"

/* How many words have @bits bits. */
static inline uint64_t bits_words(uint64_t bits)
{
	return (bits + 63) / 64;
}

/*
 * Of the bits [@at, @end), which are not none, those in the word of @at: their mask
 * there.  *@next is the first bit that is in another word, or @end.
 */
static inline uint64_t bits_mask(uint64_t at, uint64_t end, uint64_t *next)
{
	uint64_t n = min_u64(64 - at % 64, end - at);

	*next = at + n;
	return ~UINT64_C(0) >> (64 - n) << at % 64;
}

/* Sets the bits [@at, @end). */
static inline void bits_set(uint64_t *bits, uint64_t at, uint64_t end)
{
	while (at < end) {
		uint64_t *word = &bits[at / 64];

		*word |= bits_mask(at, end, &at);
	}
}

/* Clears the bits [@at, @end). */
static inline void bits_clear(uint64_t *bits, uint64_t at, uint64_t end)
{
	while (at < end) {
		uint64_t *word = &bits[at / 64];

		*word &= ~bits_mask(at, end, &at);
	}
}

/* Sets bits [@at, @end) word by word, each atomically and with release order.  Any thread. */
static inline void bits_set_atomic(_Atomic uint64_t *bits, uint64_t at,
				   uint64_t end)
{
	while (at < end) {
		_Atomic uint64_t *word = &bits[at / 64];

		atomic_fetch_or_explicit(word, bits_mask(at, end, &at),
					 memory_order_release);
	}
}

#endif
