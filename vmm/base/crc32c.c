/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CRC-32C, eight bytes per step. Pure functions over a constant table; any
 * thread.
 *
 * steps[k][b] is the effect of byte b on the register when k more bytes follow
 * it within the step. The checksum is linear over exclusive or, so each row of
 * 256 follows from the eight entries of single bits; the table below is written
 * that way. The unit test computes the table independently, bit by bit.
 */
#include "vmm/base/crc32c.h"

#include "vmm/base/bytes.h"

/* All exclusive-or sums of x and 1, 2, ... 8 entries, in binary order. */
#define T1(x, a)	     (x), (x) ^ (a)
#define T2(x, a, b)	     T1(x, a), T1((x) ^ (b), a)
#define T3(x, a, b, c)	     T2(x, a, b), T2((x) ^ (c), a, b)
#define T4(x, a, b, c, d)    T3(x, a, b, c), T3((x) ^ (d), a, b, c)
#define T5(x, a, b, c, d, e) T4(x, a, b, c, d), T4((x) ^ (e), a, b, c, d)
#define T6(x, a, b, c, d, e, f) \
	T5(x, a, b, c, d, e), T5((x) ^ (f), a, b, c, d, e)
#define T7(x, a, b, c, d, e, f, g) \
	T6(x, a, b, c, d, e, f), T6((x) ^ (g), a, b, c, d, e, f)
#define T8(x, a, b, c, d, e, f, g, h) \
	T7(x, a, b, c, d, e, f, g), T7((x) ^ (h), a, b, c, d, e, f, g)

/* clang-format off */
static const uint32_t steps[8][256] = {
	{ T8(0, 0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f,
	     0x20bd8ede, 0x417b1dbc, 0x82f63b78) },
	{ T8(0, 0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, 0x3fc5f181,
	     0x7f8be302, 0xff17c604, 0xfbc3faf9) },
	{ T8(0, 0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, 0x70a27d8a,
	     0xe144fb14, 0xc76580d9, 0x8b277743) },
	{ T8(0, 0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, 0xe964b13d,
	     0xd725148b, 0xaba65fe7, 0x52a0c93f) },
	{ T8(0, 0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91, 0x8f2261d3,
	     0x1ba8b557, 0x37516aae, 0x6ea2d55c) },
	{ T8(0, 0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f, 0xc00c303e,
	     0x85f4168d, 0x0e045beb, 0x1c08b7d6) },
	{ T8(0, 0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53, 0x9c5bfaa6,
	     0x3d5b83bd, 0x7ab7077a, 0xf56e0ef4) },
	{ T8(0, 0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da, 0x847609b4,
	     0x0d006599, 0x1a00cb32, 0x34019664) },
};
/* clang-format on */

static uint32_t take_byte(uint32_t crc, uint8_t byte)
{
	return crc >> 8 ^ steps[0][(crc ^ byte) & 0xff];
}

static uint32_t take_eight(uint32_t crc, const uint8_t *p)
{
	uint64_t v = get_le64(p) ^ crc;

	return steps[7][v & 0xff] ^ steps[6][v >> 8 & 0xff] ^
	       steps[5][v >> 16 & 0xff] ^ steps[4][v >> 24 & 0xff] ^
	       steps[3][v >> 32 & 0xff] ^ steps[2][v >> 40 & 0xff] ^
	       steps[1][v >> 48 & 0xff] ^ steps[0][v >> 56];
}

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;

	crc = ~crc;
	for (; len >= 8; len -= 8, p += 8)
		crc = take_eight(crc, p);
	for (; len > 0; len--)
		crc = take_byte(crc, *p++);
	return ~crc;
}
