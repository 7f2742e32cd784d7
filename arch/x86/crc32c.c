/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CRC-32C by the SSE 4.2 instruction (Intel SDM volume 2, CRC32), about ten
 * times as fast as by tables.  Any thread.
 *
 * The instruction starts once per cycle, but its result takes three.  So a page
 * is three lanes with a register each, and 16 bytes after them.  The register at
 * the end of one lane is moved behind the n bytes that follow it by a
 * multiplication by x^(8n) modulo the polynomial: a carry-less product with
 * x^(8n - 33), which the instruction reduces (and multiplies by x^33: 32 for the
 * 32 zero bits that it appends, 1 for the reflected product).
 */
#include <nmmintrin.h>
#include <string.h>
#include <wmmintrin.h>

#include "vmm/arch.h"
#include "vmm/base/crc32c.h"

#define LANE_BYTES  1360
#define BLOCK_BYTES (3 * LANE_BYTES + 16)
/* x^(8n - 33), reflected, for n of one lane, and of two. */
#define OVER_ONE_LANE  0x3f70cc6f
#define OVER_TWO_LANES 0x5aa1f3cf

#define WITH_CRC32 __attribute__((target("sse4.2")))
#define WITH_CLMUL __attribute__((target("sse4.2,pclmul")))

WITH_CRC32 static inline uint64_t step(uint64_t sum, const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return _mm_crc32_u64(sum, word);
}

/* The register @sum times @by, not reduced. */
WITH_CLMUL static inline __m128i multiply(uint64_t sum, uint32_t by)
{
	return _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)sum),
				    _mm_cvtsi64_si128(by), 0);
}

/* The register after the BLOCK_BYTES at @p. */
WITH_CLMUL static uint64_t take_block(uint64_t sum, const uint8_t *p)
{
	uint64_t second = 0, third = 0;
	__m128i moved;

	for (const uint8_t *end = p + LANE_BYTES; p < end; p += 8) {
		sum = step(sum, p);
		second = step(second, p + LANE_BYTES);
		third = step(third, p + 2 * LANE_BYTES);
	}
	p += 2 * LANE_BYTES;
	moved = _mm_xor_si128(multiply(sum, OVER_TWO_LANES),
			      multiply(second, OVER_ONE_LANE));
	third ^= _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(moved));
	return step(step(third, p), p + 8);
}

WITH_CRC32 static uint32_t by_instruction(uint32_t crc, const uint8_t *p,
					  size_t len)
{
	uint64_t sum = (uint32_t)~crc;

	if (__builtin_cpu_supports("pclmul"))
		for (; len >= BLOCK_BYTES; len -= BLOCK_BYTES, p += BLOCK_BYTES)
			sum = take_block(sum, p);
	for (; len >= sizeof(uint64_t); len -= 8, p += 8)
		sum = step(sum, p);
	for (; len; len--)
		sum = _mm_crc32_u8((uint32_t)sum, *p++);
	return ~(uint32_t)sum;
}

uint32_t arch_crc32c(uint32_t crc, const void *data, size_t len)
{
	return __builtin_cpu_supports("sse4.2") ?
		       by_instruction(crc, data, len) :
		       crc32c(crc, data, len);
}
