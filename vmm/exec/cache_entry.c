/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One directory of the cache: its lock, its size, its removal. Any thread.
 *
 * The lock is an open file description lock (fcntl(2)) on the file `lock` of
 * the directory; unlike flock(2)'s it can be queried without being taken. A
 * directory is examined again after it was locked, because it may have been
 * removed before. A removal renames an entry first, so that one that is killed
 * leaves nothing that looks like an entry; and unlinks `lock` last, so that no
 * other process gets the lock of a directory that is not empty yet.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/exec/cache_private.h"

#define LOCK_NAME     "lock"
#define HEX	      "0123456789abcdef"
#define RANDOM_DIGITS 8

/* An entry, a snapshot, and the staging directory of a snapshot. */
#define DEPTH_MAX 3

bool cache_is_key(const char *name)
{
	return strspn(name, HEX) == CACHE_KEY_DIGITS && !name[CACHE_KEY_DIGITS];
}

bool cache_is_unfinished(const char *name)
{
	const char *end = name + CACHE_KEY_DIGITS;

	if (strspn(name, HEX) != CACHE_KEY_DIGITS)
		return false;
	return !strcmp(end, ".new") ||
	       (*end == '.' && strspn(end + 1, HEX) == RANDOM_DIGITS &&
		!strcmp(end + 1 + RANDOM_DIGITS, ".old"));
}

/* Whether @name in @parent is the open file @fd. */
static bool is_same(int parent, const char *name, int fd)
{
	struct stat a, b;

	return !fstatat(parent, name, &a, AT_SYMLINK_NOFOLLOW) &&
	       !fstat(fd, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int cache_lock_file(int dir_fd, bool exclusive)
{
	struct flock whole = { .l_type = exclusive ? F_WRLCK : F_RDLCK,
			       .l_whence = SEEK_SET };
	CLEANUP_CLOSE int fd =
		openat(dir_fd, LOCK_NAME,
		       (exclusive ? O_RDWR | O_CREAT : O_RDONLY) | O_NOFOLLOW |
			       O_CLOEXEC,
		       0600);

	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_OFD_SETLK, &whole))
		return errno == EACCES || errno == EAGAIN ? -EBUSY : -errno;
	return take_fd(&fd);
}

int cache_entry_lock(const struct cache *cache, const char *name,
		     bool exclusive, struct cache_entry *entry)
{
	CLEANUP_CLOSE int dir =
		openat(cache->dir_fd, name,
		       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	CLEANUP_CLOSE int lock = -1;

	if (dir < 0)
		return -errno;
	lock = cache_lock_file(dir, exclusive);
	if (lock < 0)
		return lock;
	if (!is_same(cache->dir_fd, name, dir) ||
	    !is_same(dir, LOCK_NAME, lock))
		return -ENOENT;
	entry->dir_fd = take_fd(&dir);
	entry->lock_fd = take_fd(&lock);
	return 0;
}

bool cache_entry_in_use(int dir_fd)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	CLEANUP_CLOSE int fd =
		openat(dir_fd, LOCK_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 && !fcntl(fd, F_OFD_GETLK, &whole) &&
	       whole.l_type != F_UNLCK;
}

static uint64_t walk(int parent, const char *name, unsigned int depth,
		     bool remove);

/* One name of a directory of @depth; see walk(). */
static uint64_t visit(int dir_fd, const char *name, unsigned int depth,
		      bool remove)
{
	uint64_t bytes = 0;
	bool is_dir;
	struct stat st;

	if (!strcmp(name, ".") || !strcmp(name, "..") ||
	    fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW))
		return 0;
	is_dir = S_ISDIR(st.st_mode);
	if (is_dir && depth < DEPTH_MAX)
		bytes = walk(dir_fd, name, depth + 1, remove);
	if (remove && (depth > 1 || strcmp(name, LOCK_NAME) != 0))
		unlinkat(dir_fd, name, is_dir ? AT_REMOVEDIR : 0);
	return bytes + (uint64_t)st.st_blocks * 512;
}

/*
 * Adds up the allocated bytes below @name, and removes all but the lock if
 * @remove is set. Symbolic links are not followed.
 */
static uint64_t walk(int parent, const char *name, unsigned int depth,
		     bool remove)
{
	int fd = openat(parent, name,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *item;
	uint64_t bytes = 0;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while ((item = readdir(d)))
		bytes += visit(fd, item->d_name, depth, remove);
	closedir(d);
	return bytes;
}

uint64_t cache_entry_bytes(int dir_fd)
{
	return walk(dir_fd, ".", 1, false);
}

/* Renames entry @name, so that it is none; the new name is in @to. */
static int rename_to_old(const struct cache *cache, const char *name,
			 char to[CACHE_NAME_BYTES])
{
	uint32_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return -EIO;
	snprintf(to, CACHE_NAME_BYTES, "%.*s.%08x.old", CACHE_KEY_DIGITS, name,
		 number);
	return renameat(cache->dir_fd, name, cache->dir_fd, to) ? -errno : 0;
}

int cache_entry_set_aside(const struct cache *cache, const char *key)
{
	char old[CACHE_NAME_BYTES];

	return rename_to_old(cache, key, old);
}

int cache_entry_remove_locked(const struct cache *cache, const char *name,
			      const struct cache_entry *entry)
{
	char old[CACHE_NAME_BYTES];
	int err;

	if (cache_is_key(name)) {
		err = rename_to_old(cache, name, old);
		if (err)
			return err;
		name = old;
	}
	walk(entry->dir_fd, ".", 1, true);
	unlinkat(entry->dir_fd, LOCK_NAME, 0);
	return unlinkat(cache->dir_fd, name, AT_REMOVEDIR) ? -errno : 0;
}

int cache_entry_remove(const struct cache *cache, const char *name,
		       uint64_t *bytes)
{
	struct cache_entry entry = { .dir_fd = -1, .lock_fd = -1 };
	uint64_t size = 0;
	int err = cache_entry_lock(cache, name, true, &entry);

	if (err)
		return err;
	if (bytes)
		size = cache_entry_bytes(entry.dir_fd);
	err = cache_entry_remove_locked(cache, name, &entry);
	if (!err && bytes)
		*bytes += size;
	close(entry.lock_fd);
	close(entry.dir_fd);
	return err;
}
