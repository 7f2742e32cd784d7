/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cache of warm guests. In its directory are:
 *
 *	KEY/               an entry, complete: `snapshot`, `description`, `lock`
 *	KEY.new/           an entry that a run makes, or that a killed run left
 *	KEY.XXXXXXXX.old/  an entry that is being removed, or was by a killed run
 *	lock               taken by commits, one at a time
 *	hashes             of files: cache_memo.c
 *
 * A run holds a shared lock on the entry that it uses, and an exclusive lock
 * on one that it makes or removes. The kernel releases the locks of a killed
 * run, so a directory with a suffix and no lock is a leftover. Only the run
 * that has locked KEY.new makes an entry with that key, so its rename to KEY
 * meets no other. The time of use is the modification time of KEY: nothing in
 * it, except below `snapshot`, changes after the commit.
 *
 * Any thread.
 */
#include "vmm/exec/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/exec/cache_private.h"

/* A sweep by another run may remove the directory before it is locked. */
#define BEGIN_TRIES 16

/* Sets key and path of @entry, whose directory will have @name; 0 or -errno. */
static int name_entry(const struct cache *cache, const char *key,
		      const char *name, struct cache_entry *entry)
{
	*entry = (struct cache_entry){ .dir_fd = -1, .lock_fd = -1 };
	if (!cache_is_key(key))
		return cache_error(cache, EINVAL, "key", key);
	memcpy(entry->key, key, CACHE_KEY_TEXT_BYTES);
	if (asprintf(&entry->path, "%s/%s/" CACHE_SNAPSHOT_NAME, cache->path,
		     name) < 0) {
		entry->path = NULL;
		return cache_error(cache, ENOMEM, "entry", key);
	}
	return 0;
}

void cache_release(struct cache_entry *entry)
{
	/* A zeroed entry has no path. */
	if (entry->path) {
		if (entry->dir_fd >= 0)
			close(entry->dir_fd);
		if (entry->lock_fd >= 0)
			close(entry->lock_fd);
	}
	free(entry->path);
	*entry = (struct cache_entry){ .dir_fd = -1, .lock_fd = -1 };
}

/* Whether the caller or another run has written a snapshot to @entry. */
static bool has_snapshot(const struct cache_entry *entry)
{
	struct stat st;

	return !fstatat(entry->dir_fd, CACHE_SNAPSHOT_NAME, &st,
			AT_SYMLINK_NOFOLLOW) &&
	       S_ISDIR(st.st_mode);
}

/* Locks the entry for use; 0 or -errno. */
static int use(const struct cache *cache, struct cache_entry *entry)
{
	int err = cache_entry_lock(cache, entry->key, false, entry);

	if (!err && !has_snapshot(entry))
		err = -ENOENT;
	/* The entry's name may change while it is used. */
	if (!err) {
		free(entry->path);
		if (asprintf(&entry->path,
			     "/proc/self/fd/%d/" CACHE_SNAPSHOT_NAME,
			     entry->dir_fd) < 0) {
			entry->path = NULL;
			err = -ENOMEM;
		}
	}
	/* On a read-only file system, the time stays. */
	if (!err)
		futimens(entry->dir_fd, NULL);
	return err;
}

int cache_lookup(const struct cache *cache, const char *key,
		 struct cache_entry *entry)
{
	int err = name_entry(cache, key, key, entry);

	if (err)
		return err;
	err = use(cache, entry);
	if (!err)
		return 0;
	cache_release(entry);
	if (err == -ENOENT || err == -EBUSY)
		return -ENOENT;
	return cache_error(cache, -err, "use", key);
}

/*
 * -EEXIST if there is an entry @key. Repairs or removes one that was damaged
 * from outside and would stay in the way of a new one.
 */
static int check_absent(const struct cache *cache, const char *key)
{
	struct cache_entry entry = { .dir_fd = -1, .lock_fd = -1 };
	int err = cache_entry_lock(cache, key, true, &entry);

	if (err)
		return err == -EBUSY ? -EEXIST : err == -ENOENT ? 0 : err;
	err = has_snapshot(&entry) ?
		      -EEXIST :
		      cache_entry_remove_locked(cache, key, &entry);
	close(entry.lock_fd);
	close(entry.dir_fd);
	return err;
}

/* Creates the directory @name and locks it. */
static int make_locked(const struct cache *cache, const char *name,
		       struct cache_entry *entry)
{
	int err = -EBUSY;

	for (int i = 0; i < BEGIN_TRIES; i++) {
		if (mkdirat(cache->dir_fd, name, 0700))
			return errno == EEXIST ? -EBUSY : -errno;
		err = cache_entry_lock(cache, name, true, entry);
		if (err != -ENOENT && err != -EBUSY)
			break;
	}
	return err;
}

/* Writes the file `description`; 0 or -errno. */
static int write_description(const struct cache_entry *entry, const char *text)
{
	CLEANUP_CLOSE int fd =
		openat(entry->dir_fd, CACHE_DESCRIPTION_NAME,
		       O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (n < 0)
		return -errno;
	return (size_t)n == strlen(text) ? 0 : -ENOSPC;
}

/* The name of the directory of an unfinished entry. */
static void new_name(const char *key, char name[CACHE_NAME_BYTES])
{
	snprintf(name, CACHE_NAME_BYTES, "%.*s.new", CACHE_KEY_DIGITS, key);
}

/* Creates the directory; 0 or -errno. */
static int begin(const struct cache *cache, const char *name,
		 const char *description, struct cache_entry *entry)
{
	int err;

	cache_sweep(cache);
	err = check_absent(cache, entry->key);
	if (!err)
		err = make_locked(cache, name, entry);
	/* Another run may have committed it before it was locked. */
	if (!err)
		err = check_absent(cache, entry->key);
	return err ? err : write_description(entry, description);
}

int cache_begin(const struct cache *cache, const char *key,
		const char *description, struct cache_entry *entry)
{
	char name[CACHE_NAME_BYTES];
	int err;

	new_name(key, name);
	err = name_entry(cache, key, name, entry);
	if (err)
		return err;
	err = begin(cache, name, description, entry);
	if (!err)
		return 0;
	cache_abort(cache, entry);
	if (err == -EBUSY || err == -EEXIST)
		return err;
	return cache_error(cache, -err, "make", key);
}

/* Renames the complete entry to its key. */
static int put_in_place(const struct cache *cache,
			const struct cache_entry *entry)
{
	char name[CACHE_NAME_BYTES];
	CLEANUP_CLOSE int lock = cache_lock(cache, true);
	int err;

	if (lock < 0)
		return lock;
	err = cache_make_room(cache, cache_entry_bytes(entry->dir_fd));
	if (err)
		return err;
	new_name(entry->key, name);
	futimens(entry->dir_fd, NULL);
	return renameat(cache->dir_fd, name, cache->dir_fd, entry->key) ?
		       cache_error(cache, errno, "rename", name) :
		       0;
}

int cache_commit(const struct cache *cache, struct cache_entry *entry)
{
	int err;

	if (!has_snapshot(entry))
		err = cache_error(cache, ENODATA, "add", entry->key);
	else if (fsync(entry->dir_fd))
		err = cache_error(cache, errno, "sync", entry->key);
	else
		err = put_in_place(cache, entry);
	if (err)
		cache_abort(cache, entry);
	else
		cache_release(entry);
	return err;
}

void cache_abort(const struct cache *cache, struct cache_entry *entry)
{
	char name[CACHE_NAME_BYTES];
	int err = 0;

	if (entry->path && entry->lock_fd >= 0) {
		new_name(entry->key, name);
		err = cache_entry_remove_locked(cache, name, entry);
	}
	if (err)
		cache_error(cache, -err, "remove", name);
	cache_release(entry);
}

int cache_remove(const struct cache *cache, const char *key)
{
	int err = cache_is_key(key) ? cache_entry_remove(cache, key, NULL) :
				      -EINVAL;

	if (err == -EBUSY)
		err = cache_entry_set_aside(cache, key);
	return err && err != -ENOENT ? cache_error(cache, -err, "remove", key) :
				       err;
}
