/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Single instructions: device accesses of a given size, and the vector
 * registers as storage.
 */
#include "guest/lib/cpu.h"
#include "guest/lib/signature.h"
#include "guest/lib/arm64/arm64.h"

/* volatile makes it one instruction of that size. */
#define ACCESS(type)                                             \
	(is_write ? (void)(*(volatile type *)at = (type)value) : \
		    (void)(value = *(volatile type *)at))

uint64_t mmio_access(uint64_t address, unsigned int size_bytes, bool is_write,
		     uint64_t value)
{
	void *at = (void *)(uintptr_t)(address & ~(uint64_t)(size_bytes - 1));

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

/* v0 to v31, in pairs of 32 bytes. */
#define VECTORS ".arch_extension fp\n\t.arch_extension simd\n\t"
#define EACH_PAIR(do)                                                                       \
	do                                                                                  \
	(0, 1, 0) do(2, 3, 32) do(4, 5, 64) do(6, 7, 96) do(8, 9, 128) do(10, 11, 160) do(  \
		12, 13,                                                                     \
		192) do(14, 15,                                                             \
			224) do(16, 17,                                                     \
				256) do(18, 19,                                             \
					288) do(20, 21,                                     \
						320) do(22, 23,                             \
							352) do(24, 25,                     \
								384) do(26,                 \
									27,                 \
									416) do(28,         \
										29,         \
										448) do(30, \
											31, \
											480)
#define LOAD(a, b, at)	"ldp q" #a ", q" #b ", [%0, #" #at "]\n\t"
#define STORE(a, b, at) "stp q" #a ", q" #b ", [%0, #" #at "]\n\t"

void vectors_fill(uint64_t seed)
{
	uint64_t words[64];

	for (unsigned int i = 0; i < 64; i++)
		words[i] = signature_word(seed, i);
	__asm__ volatile(VECTORS EACH_PAIR(LOAD)::"r"(words) : "memory");
}

bool vectors_hold(uint64_t seed)
{
	uint64_t words[64], different = 0;

	__asm__ volatile(VECTORS EACH_PAIR(STORE)::"r"(words) : "memory");
	for (unsigned int i = 0; i < 64; i++)
		different |= words[i] ^ signature_word(seed, i);
	return !different;
}
