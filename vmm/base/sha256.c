/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SHA-256, written from FIPS 180-4, sections 4.1.2, 5.1.1, 5.3.3 and 6.2. The
 * names a to h, w and k are those of the standard. Pure functions; any thread.
 */
#include "vmm/base/sha256.h"

#include <string.h>

#include "vmm/base/bytes.h"

/* The first 32 bits of the fractions of the cube roots of 64 primes (4.2.2). */
/* clang-format off */
static const uint32_t k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5,
	0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
	0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
	0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5,
	0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};
/* clang-format on */

static uint32_t rotate(uint32_t x, unsigned int n)
{
	return x >> n | x << (32 - n);
}

/* The message schedule of one block (6.2.2, step 1). */
static void schedule(uint32_t w[64], const uint8_t *block)
{
	for (size_t t = 0; t < 16; t++)
		w[t] = get_be32(block + 4 * t);
	for (size_t t = 16; t < 64; t++) {
		uint32_t x = w[t - 15], y = w[t - 2];

		w[t] = (rotate(y, 17) ^ rotate(y, 19) ^ y >> 10) + w[t - 7] +
		       (rotate(x, 7) ^ rotate(x, 18) ^ x >> 3) + w[t - 16];
	}
}

/*
 * One round of step 3. Instead of moving all eight variables, the callers name
 * them in an order that shifts by one each round.
 */
static inline void do_round(uint32_t a, uint32_t b, uint32_t c, uint32_t *d,
			    uint32_t e, uint32_t f, uint32_t g, uint32_t *h,
			    uint32_t kw)
{
	uint32_t t1 = *h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
		      ((e & f) ^ (~e & g)) + kw;

	*d += t1;
	*h = t1 + (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) +
	     ((a & b) ^ (a & c) ^ (b & c));
}

/* Steps 2 to 4 of 6.2.2. */
static void take_block(struct sha256 *hash, const uint8_t *block)
{
	uint32_t *s = hash->state, w[64];
	uint32_t a = s[0], b = s[1], c = s[2], d = s[3];
	uint32_t e = s[4], f = s[5], g = s[6], h = s[7];

	schedule(w, block);
	for (size_t t = 0; t < 64; t += 8) {
		do_round(a, b, c, &d, e, f, g, &h, k[t] + w[t]);
		do_round(h, a, b, &c, d, e, f, &g, k[t + 1] + w[t + 1]);
		do_round(g, h, a, &b, c, d, e, &f, k[t + 2] + w[t + 2]);
		do_round(f, g, h, &a, b, c, d, &e, k[t + 3] + w[t + 3]);
		do_round(e, f, g, &h, a, b, c, &d, k[t + 4] + w[t + 4]);
		do_round(d, e, f, &g, h, a, b, &c, k[t + 5] + w[t + 5]);
		do_round(c, d, e, &f, g, h, a, &b, k[t + 6] + w[t + 6]);
		do_round(b, c, d, &e, f, g, h, &a, k[t + 7] + w[t + 7]);
	}
	s[0] += a;
	s[1] += b;
	s[2] += c;
	s[3] += d;
	s[4] += e;
	s[5] += f;
	s[6] += g;
	s[7] += h;
}

void sha256_init(struct sha256 *hash)
{
	*hash = (struct sha256){
		.state = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
			   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 },
	};
}

void sha256_update(struct sha256 *hash, const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t used = hash->len_bytes % SHA256_BLOCK_BYTES;

	hash->len_bytes += len;
	if (used) {
		size_t n = min_u64(len, SHA256_BLOCK_BYTES - used);

		memcpy(hash->block + used, p, n);
		if (used + n < SHA256_BLOCK_BYTES)
			return;
		take_block(hash, hash->block);
		p += n;
		len -= n;
	}
	for (; len >= SHA256_BLOCK_BYTES; len -= SHA256_BLOCK_BYTES) {
		take_block(hash, p);
		p += SHA256_BLOCK_BYTES;
	}
	if (len)
		memcpy(hash->block, p, len);
}

void sha256_finish(struct sha256 *hash, uint8_t out[SHA256_BYTES])
{
	static const uint8_t padding[SHA256_BLOCK_BYTES] = { 0x80 };
	uint64_t bits = hash->len_bytes * 8;
	size_t used = hash->len_bytes % SHA256_BLOCK_BYTES;
	uint8_t len[8];

	put_be32(len, (uint32_t)(bits >> 32));
	put_be32(len + 4, (uint32_t)bits);
	sha256_update(hash, padding, (used < 56 ? 56 : 120) - used);
	sha256_update(hash, len, sizeof(len));
	for (size_t i = 0; i < 8; i++)
		put_be32(out + 4 * i, hash->state[i]);
}
