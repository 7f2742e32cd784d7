/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The directory of the cache: where it is, who may write to it, and the lock of
 * the cache as a whole. Any thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/exec/cache_private.h"

#define LOCK_TRIES    100
#define LOCK_DELAY_US 10000

int cache_error(const struct cache *cache, int err, const char *what,
		const char *name)
{
	log_at(cache->level, "exec cache %s: %s %s: %s",
	       cache->path ? cache->path : "", what, name, strerror(err));
	return -err;
}

/* The directory of the user's caches (XDG Base Directory Specification). */
static char *base_path(void)
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	char *path;

	/* "All paths set in these environment variables must be absolute." */
	if (xdg && *xdg == '/')
		return strdup(xdg);
	if (!home || *home != '/' || asprintf(&path, "%s/.cache", home) < 0)
		return NULL;
	return path;
}

/* Creates @path and the directories above it; 0 or the first error. */
static int make_dirs(const char *path)
{
	CLEANUP_FREE char *copy = strdup(path);
	int err = 0;

	if (!copy)
		return -ENOMEM;
	for (char *p = copy + 1;; p++) {
		char end = *p;

		if (end && end != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, 0700) && errno != EEXIST && !err)
			err = -errno;
		*p = end;
		if (!end)
			return err;
	}
}

/*
 * Whether only this user can write to the directory @fd. @above: it is above
 * the cache, may belong to root, and may be one like /tmp.
 */
static bool is_private(int fd, bool above)
{
	struct stat st;

	if (fstat(fd, &st))
		return false;
	if (st.st_uid != geteuid() && !(above && st.st_uid == 0))
		return false;
	return !(st.st_mode & (S_IWGRP | S_IWOTH)) ||
	       (above && st.st_mode & S_ISVTX);
}

/* Opens directory @name of @parent; -EPERM unless it is private. */
static int open_private(int parent, const char *name, bool above)
{
	CLEANUP_CLOSE int fd = openat(parent, name,
				      O_RDONLY | O_DIRECTORY | O_CLOEXEC |
					      (above ? 0 : O_NOFOLLOW));

	if (fd < 0)
		return -errno;
	return is_private(fd, above) ? take_fd(&fd) : -EPERM;
}

/* Opens @base/thaw/exec; the descriptor or -errno. */
static int open_chain(const char *base)
{
	CLEANUP_CLOSE int top = open_private(AT_FDCWD, base, true);
	CLEANUP_CLOSE int middle = -1;

	if (top < 0)
		return top;
	middle = open_private(top, "thaw", false);
	return middle < 0 ? middle : open_private(middle, "exec", false);
}

/* As open_chain(), but creates what is missing. */
static int create_chain(const char *base, const char *path)
{
	CLEANUP_CLOSE int top = -1;
	int fd = open_chain(base), err;

	if (fd != -ENOENT)
		return fd;
	/* Not below a directory that would be refused. */
	make_dirs(base);
	top = open_private(AT_FDCWD, base, true);
	if (top == -EPERM)
		return top;
	err = make_dirs(path);
	fd = open_chain(base);
	return fd == -ENOENT && err ? err : fd;
}

int cache_open(struct cache *cache, bool create, enum log_level level)
{
	CLEANUP_FREE char *base = base_path();

	*cache = (struct cache){ .dir_fd = -1,
				 .limit_bytes = CACHE_LIMIT_DEFAULT_BYTES,
				 .level = level };
	if (!base) {
		log_at(level, "exec cache: neither XDG_CACHE_HOME nor HOME is "
			      "an absolute path");
		return -EINVAL;
	}
	if (asprintf(&cache->path, "%s/thaw/exec", base) < 0) {
		cache->path = NULL;
		return cache_error(cache, ENOMEM, "open", base);
	}
	cache->dir_fd =
		create ? create_chain(base, cache->path) : open_chain(base);
	if (cache->dir_fd == -ENOENT && !create)
		return -ENOENT;
	if (cache->dir_fd == -EPERM) {
		log_at(level,
		       "exec cache %s: not used: it, or a directory above it, "
		       "belongs to or can be written to by another user",
		       cache->path);
		return -EPERM;
	}
	return cache->dir_fd < 0 ?
		       cache_error(cache, -cache->dir_fd, "open", "directory") :
		       0;
}

void cache_close(struct cache *cache)
{
	/* A zeroed struct has no path. */
	if (cache->path && cache->dir_fd >= 0)
		close(cache->dir_fd);
	free(cache->path);
	*cache = (struct cache){ .dir_fd = -1 };
}

int cache_lock(const struct cache *cache, bool wait)
{
	int fd = cache_lock_file(cache->dir_fd, true);

	for (int i = 0; fd == -EBUSY && wait && i < LOCK_TRIES; i++) {
		usleep(LOCK_DELAY_US);
		fd = cache_lock_file(cache->dir_fd, true);
	}
	return fd < 0 ? cache_error(cache, -fd, "lock", "directory") : fd;
}
