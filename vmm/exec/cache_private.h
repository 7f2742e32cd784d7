/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the cache share. For this room only. */
#ifndef VMM_EXEC_CACHE_PRIVATE_H
#define VMM_EXEC_CACHE_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/exec/cache.h"

#define CACHE_KEY_DIGITS (CACHE_KEY_TEXT_BYTES - 1)

/* Files of an entry, beside its lock. */
#define CACHE_SNAPSHOT_NAME    "snapshot"
#define CACHE_DESCRIPTION_NAME "description"

/* The longest name in the cache, with its NUL: KEY.XXXXXXXX.old. */
#define CACHE_NAME_BYTES (CACHE_KEY_TEXT_BYTES + 13)

/*
 * cache_dir.c
 */

/* Logs "WHAT NAME: strerror" with the cache at its level; returns -@err. */
int cache_error(const struct cache *cache, int err, const char *what,
		const char *name);

/*
 * Locks the cache as a whole against other runs, up to a second if @wait. The
 * descriptor, whose closing unlocks it, or -errno, logged; -EBUSY.
 */
int cache_lock(const struct cache *cache, bool wait);

/*
 * cache_entry.c; all silent. @name is that of a directory in the cache.
 */

/*
 * Locks the file `lock` of @dir_fd, which an @exclusive lock creates. The
 * descriptor, whose closing unlocks it, or -errno; -EBUSY.
 */
int cache_lock_file(int dir_fd, bool exclusive);

/* Whether @name is a key: an entry. */
bool cache_is_key(const char *name);

/* Whether @name is that of an entry that is being made or removed. */
bool cache_is_unfinished(const char *name);

/*
 * Opens the directory @name and locks it, shared or @exclusive. -EBUSY if
 * another lock excludes it; -ENOENT if it does not exist, or not any more; for
 * a shared lock also if it has no lock file.
 */
int cache_entry_lock(const struct cache *cache, const char *name,
		     bool exclusive, struct cache_entry *entry);

/* Whether any open file holds a lock on the directory @dir_fd. */
bool cache_entry_in_use(int dir_fd);

/* Allocated bytes of all that is in @dir_fd. */
uint64_t cache_entry_bytes(int dir_fd);

/*
 * Removes the directory @name. -EBUSY if it is in use, -ENOENT if there is none.
 * Adds its allocated bytes to *@bytes, which may be NULL.
 */
int cache_entry_remove(const struct cache *cache, const char *name,
		       uint64_t *bytes);

/*
 * Renames entry @key, which may be in use, so that it is not found any more;
 * cache_sweep() removes it. 0 or -errno.
 */
int cache_entry_set_aside(const struct cache *cache, const char *key);

/* Removes the directory @name that @entry has locked for exclusive use. */
int cache_entry_remove_locked(const struct cache *cache, const char *name,
			      const struct cache_entry *entry);

/*
 * cache_scan.c
 */

/* Removes what killed runs have left. */
void cache_sweep(const struct cache *cache);

/*
 * Removes the least recently used entries until @bytes more fit the limit.
 * -ENOSPC if they do not without those in use; then nothing is removed.
 */
int cache_make_room(const struct cache *cache, uint64_t bytes);

#endif
