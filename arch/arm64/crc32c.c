/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CRC-32C by the CRC32 instructions (Arm DDI 0487, CRC32C), about ten times as
 * fast as by tables.  Any thread.
 */
#include <asm/hwcap.h>
#include <string.h>
#include <sys/auxv.h>

#include "vmm/arch.h"
#include "vmm/base/crc32c.h"

__attribute__((target("+crc"))) static inline uint32_t step8(uint32_t crc,
							     uint64_t word)
{
	__asm__("crc32cx %w0, %w0, %x1" : "+r"(crc) : "r"(word));
	return crc;
}

__attribute__((target("+crc"))) static inline uint32_t step1(uint32_t crc,
							     uint8_t byte)
{
	__asm__("crc32cb %w0, %w0, %w1" : "+r"(crc) : "r"((uint32_t)byte));
	return crc;
}

__attribute__((target("+crc"))) static uint32_t
by_instruction(uint32_t crc, const uint8_t *p, size_t len)
{
	crc = ~crc;
	for (; len >= sizeof(uint64_t); len -= sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, p, sizeof(word));
		crc = step8(crc, word);
		p += sizeof(word);
	}
	for (; len; len--)
		crc = step1(crc, *p++);
	return ~crc;
}

uint32_t arch_crc32c(uint32_t crc, const void *data, size_t len)
{
	return getauxval(AT_HWCAP) & HWCAP_CRC32 ?
		       by_instruction(crc, data, len) :
		       crc32c(crc, data, len);
}
