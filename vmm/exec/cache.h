/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cache of warm guests: snapshots of guests that are ready for a request,
 * in $XDG_CACHE_HOME/thaw/exec or ~/.cache/thaw/exec, one entry for each key.
 * Concurrent runs and runs that are killed leave it complete; cache.c has the
 * protocol.
 *
 * Every error is returned as -errno, after one line at the level of the cache:
 * LOG_INFO for `thaw exec`, which then boots a guest as if there were no cache.
 * "-ENOENT, silent" and the like are results, not errors.
 *
 * After cache_open() a struct cache is read-only and serves any thread. An
 * entry or a key is used by one thread at a time.
 */
#ifndef VMM_EXEC_CACHE_H
#define VMM_EXEC_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/log.h"

/* A key in hexadecimal, with its NUL. */
#define CACHE_KEY_TEXT_BYTES 65

/* Limit of the entries' allocated bytes, unless the caller sets another. */
#define CACHE_LIMIT_DEFAULT_BYTES (UINT64_C(4) << 30)

struct cache {
	int dir_fd;
	/* Of the directory; set also if it could not be opened. Owned. */
	char *path;
	uint64_t limit_bytes; /* the caller may change it */
	enum log_level level; /* of the lines about errors */
};

/*
 * Opens the directory of the user, and creates it with mode 0700 if @create;
 * otherwise -ENOENT, silent, if there is none. -EPERM for a directory that
 * belongs to another user or that another user can write to.
 */
int cache_open(struct cache *cache, bool create, enum log_level level);

/* A zeroed struct, or one that failed to open, is fine. */
void cache_close(struct cache *cache);

/* An entry in use, or one that is being made. */
struct cache_entry {
	char key[CACHE_KEY_TEXT_BYTES];
	char *path; /* of its snapshot; owned */
	int dir_fd; /* the entry's directory */
	int lock_fd; /* holds the lock */
};

/*
 * Finds the entry with @key, and marks it as used now. It stays until
 * cache_release(), at @entry->path, which is valid in this process only. -ENOENT,
 * silent, if there is none, or if it is being removed.
 */
int cache_lookup(const struct cache *cache, const char *key,
		 struct cache_entry *entry);

/* A zeroed entry, or one of a failed lookup, is fine. */
void cache_release(struct cache_entry *entry);

/*
 * Begins to make an entry: the caller writes a snapshot to @entry->path, where
 * nothing exists, and calls cache_commit() or cache_abort(). Removes what
 * killed runs have left, of any key. @description is one line for people.
 * -EBUSY, silent: another run makes this entry; -EEXIST, silent: it exists.
 */
int cache_begin(const struct cache *cache, const char *key,
		const char *description, struct cache_entry *entry);

/*
 * Adds the entry to the cache and releases it. The least recently used entries
 * are removed until all fit the limit. -ENOSPC if it does not fit without
 * those in use; -ENODATA if no snapshot was written; -EBUSY if other processes
 * have kept the cache locked for a second. On an error the entry is removed.
 */
int cache_commit(const struct cache *cache, struct cache_entry *entry);

/* Removes the unfinished entry. A zeroed one, or one of a failed begin, is fine. */
void cache_abort(const struct cache *cache, struct cache_entry *entry);

/*
 * Removes the entry with @key; one in use is not found any more, and removed with
 * what killed runs leave. -ENOENT, silent, if there is none.
 */
int cache_remove(const struct cache *cache, const char *key);

/* One entry, as `thaw cache list` shows it. */
struct cache_item {
	char key[CACHE_KEY_TEXT_BYTES];
	char *description; /* of cache_begin(); owned by the list */
	uint64_t used_ns; /* wall clock; see clock_wall_ns() */
	uint64_t size_bytes; /* allocated */
	bool in_use;
};

/* The most recently used entry first. */
struct cache_list {
	struct cache_item *items;
	size_t count;
};

/* Entries that appear or vanish meanwhile may be missing. */
int cache_list(const struct cache *cache, struct cache_list *list);

/* A zeroed list, or one of a failed call, is fine. */
void cache_list_finish(struct cache_list *list);

struct cache_cleared {
	unsigned int removed; /* entries */
	unsigned int leftovers; /* of killed runs, removed */
	unsigned int in_use; /* entries and unfinished ones, which remain */
	uint64_t removed_bytes; /* allocated, of both */
};

/* Removes all entries that are not in use. */
int cache_clear(const struct cache *cache, struct cache_cleared *cleared);

#endif
