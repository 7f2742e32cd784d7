/* SPDX-License-Identifier: BSD-2-Clause */
/* SHA-256 (FIPS 180-4). Pure functions over the caller's state; any thread. */
#ifndef VMM_BASE_SHA256_H
#define VMM_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES	   32
#define SHA256_BLOCK_BYTES 64

/* A hash in the making. */
struct sha256 {
	uint32_t state[8];
	uint64_t len_bytes; /* taken so far */
	uint8_t block[SHA256_BLOCK_BYTES]; /* its first len_bytes % 64 bytes */
};

void sha256_init(struct sha256 *hash);

/* Appends @len bytes; fewer than 2^61 in all. */
void sha256_update(struct sha256 *hash, const void *data, size_t len);

/* Writes the hash; @hash must be initialised again before further use. */
void sha256_finish(struct sha256 *hash, uint8_t out[SHA256_BYTES]);

#endif
