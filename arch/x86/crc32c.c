/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CRC-32C by the SSE 4.2 instruction (Intel SDM volume 2, CRC32), about ten
 * times as fast as by tables.  Any thread.
 */
#include <nmmintrin.h>
#include <string.h>

#include "vmm/arch.h"
#include "vmm/base/crc32c.h"

__attribute__((target("sse4.2"))) static uint32_t
by_instruction(uint32_t crc, const uint8_t *p, size_t len)
{
	uint64_t sum = (uint32_t)~crc;

	for (; len >= sizeof(uint64_t); len -= sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, p, sizeof(word));
		sum = _mm_crc32_u64(sum, word);
		p += sizeof(word);
	}
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
