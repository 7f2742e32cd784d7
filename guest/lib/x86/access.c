/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Single instructions: device accesses of a given size, and the vector
 * registers as storage.
 */
#include "guest/lib/cpu.h"
#include "guest/lib/signature.h"
#include "guest/lib/x86/x86.h"

/* volatile makes it one instruction of that size. */
#define ACCESS(type)                                             \
	(is_write ? (void)(*(volatile type *)at = (type)value) : \
		    (void)(value = *(volatile type *)at))

uint64_t mmio_access(uint64_t address, unsigned int size_bytes, bool is_write,
		     uint64_t value)
{
	void *at = phys(address);

	switch (size_bytes) {
	case 1:
		ACCESS(uint8_t);
		break;
	case 2:
		ACCESS(uint16_t);
		break;
	case 4:
		ACCESS(uint32_t);
		break;
	default:
		ACCESS(uint64_t);
	}
	return value;
}

/* xmm0 to xmm15, 16 bytes each. */
#define EACH_XMM(do)                                                         \
	do                                                                   \
	(0) do(1) do(2) do(3) do(4) do(5) do(6) do(7) do(8) do(9) do(10) do( \
		11) do(12) do(13) do(14) do(15)
#define LOAD(n)	 "movups " #n "*16(%0), %%xmm" #n "\n\t"
#define STORE(n) "movups %%xmm" #n ", " #n "*16(%0)\n\t"

void vectors_fill(uint64_t seed)
{
	uint64_t words[32];

	for (unsigned int i = 0; i < 32; i++)
		words[i] = signature_word(seed, i);
	__asm__ volatile(EACH_XMM(LOAD)::"r"(words) : "memory");
}

bool vectors_hold(uint64_t seed)
{
	uint64_t words[32], different = 0;

	__asm__ volatile(EACH_XMM(STORE)::"r"(words) : "memory");
	for (unsigned int i = 0; i < 32; i++)
		different |= words[i] ^ signature_word(seed, i);
	return !different;
}
