/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hashes of files, kept between runs, so that a kernel is hashed once and not by
 * every run. For this room only; one thread.
 */
#ifndef VMM_EXEC_CACHE_MEMO_H
#define VMM_EXEC_CACHE_MEMO_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/exec/cache_key.h"

/* The most files; the oldest is dropped. */
#define CACHE_MEMO_MAX 256

struct cache_memo {
	struct cache_memo_record {
		struct file_identity identity;
		uint8_t hash[SHA256_BYTES];
	} records[CACHE_MEMO_MAX]; /* the oldest first */
	unsigned int count;
	bool changed;
};

/* Reads the file of @cache; an empty memo if there is no valid one. */
void cache_memo_read(const struct cache *cache, struct cache_memo *memo);

/* Whether the hash of the file is known; then it is in @hash. */
bool cache_memo_find(const struct cache_memo *memo,
		     const struct file_identity *identity,
		     uint8_t hash[SHA256_BYTES]);

/* Adds a hash, in place of an older one of the same file. */
void cache_memo_add(struct cache_memo *memo,
		    const struct file_identity *identity,
		    const uint8_t hash[SHA256_BYTES]);

/*
 * Writes the file if @memo has changed. An error is logged; the file is then as
 * before. Of two runs that write at a time, one's additions are lost.
 */
void cache_memo_write(const struct cache *cache, struct cache_memo *memo);

#endif
