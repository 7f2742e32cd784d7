/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The key of an entry of the cache: a SHA-256 of labelled parts. Two keys are
 * equal if their parts have the same kinds, labels and values in the same
 * order; files count by their contents. One thread.
 */
#ifndef VMM_EXEC_CACHE_KEY_H
#define VMM_EXEC_CACHE_KEY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "vmm/base/sha256.h"
#include "vmm/exec/cache.h"

/* More than a guest has: a kernel, its modules, an init. */
#define CACHE_KEY_FILES_MAX 96

/* What changes whenever the contents of a file change. */
struct file_identity {
	uint64_t device, inode, size_bytes;
	uint64_t mtime_ns, ctime_ns;
};

/* The hashes of files that were hashed before; see cache_memo.c. */
struct cache_memo;

struct cache_key {
	const struct cache *cache;
	struct sha256 hash;
	struct cache_memo *memo; /* owned; NULL: none */
	struct {
		int fd; /* the caller's */
		struct file_identity identity;
	} files[CACHE_KEY_FILES_MAX];
	unsigned int file_count;
	int err; /* the first error; -errno, logged */
};

/* @cache must outlive the key. */
void cache_key_init(struct cache_key *key, const struct cache *cache);

void cache_key_string(struct cache_key *key, const char *label,
		      const char *value);
void cache_key_number(struct cache_key *key, const char *label, uint64_t value);

/*
 * The contents of the regular file @fd, which stays open as long as the key.
 * They are read from offset 0, whatever the file's offset is, and only if they
 * may have changed since an earlier key.
 */
void cache_key_file(struct cache_key *key, const char *label, int fd);

/*
 * Writes the key as text, and the new hashes of files for later keys; 0 or the
 * first error of the functions above.
 */
int cache_key_end(struct cache_key *key, char text[CACHE_KEY_TEXT_BYTES]);

/*
 * Whether all files are as they were when they became part of the key.  Check
 * before cache_commit(): the guest may have loaded newer contents than were
 * hashed.
 */
bool cache_key_holds(const struct cache_key *key);

/* Frees; a zeroed key is fine. */
void cache_key_finish(struct cache_key *key);

#endif
