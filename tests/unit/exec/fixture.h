/* SPDX-License-Identifier: BSD-2-Clause */
/* A cache in a temporary directory, and entries with checked contents. */
#ifndef TESTS_UNIT_EXEC_FIXTURE_H
#define TESTS_UNIT_EXEC_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/base/tree.h"
#include "vmm/exec/cache.h"

#define ENTRY_FILES 2

/* Creates the directory and makes it XDG_CACHE_HOME. */
static inline void fixture_begin(char dir[64])
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, 64, "%s/thaw-cache.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(dir) || setenv("XDG_CACHE_HOME", dir, 1))
		abort();
}

/* The state of a test: an open cache, and the path of a file beside it. */
struct setting {
	char dir[64], file[80];
	struct cache cache;
};

static inline int set_up(void **state)
{
	struct setting *s = calloc(1, sizeof(*s));

	fixture_begin(s->dir);
	snprintf(s->file, sizeof(s->file), "%s/file", s->dir);
	*state = s;
	return cache_open(&s->cache, true, LOG_DEBUG);
}

static inline int tear_down(void **state)
{
	struct setting *s = *state;

	cache_close(&s->cache);
	remove_tree(s->dir);
	free(s);
	return 0;
}

static inline void key_text(unsigned int n, char key[CACHE_KEY_TEXT_BYTES])
{
	snprintf(key, CACHE_KEY_TEXT_BYTES, "%064x", n);
}

static inline void entry_file(const struct cache_entry *entry, int i,
			      char path[256])
{
	snprintf(path, 256, "%s/part%d", entry->path, i);
}

/* Writes @kib KiB of byte @fill to each file, in small pieces. */
static inline int entry_write(const struct cache_entry *entry, size_t kib,
			      int fill)
{
	char path[256], piece[1024];

	memset(piece, fill, sizeof(piece));
	if (mkdir(entry->path, 0700))
		return -errno;
	for (int i = 0; i < ENTRY_FILES; i++) {
		int fd;

		entry_file(entry, i, path);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
		if (fd < 0)
			return -errno;
		for (size_t k = 0; k < kib; k++)
			if (write(fd, piece, sizeof(piece)) != sizeof(piece))
				return -EIO;
		close(fd);
	}
	return 0;
}

/* Whether the entry has what entry_write() wrote. */
static inline bool entry_is_whole(const struct cache_entry *entry, size_t kib,
				  int fill)
{
	char path[256], piece[1024];

	for (int i = 0; i < ENTRY_FILES; i++) {
		size_t len = 0;
		ssize_t n;
		int fd;

		entry_file(entry, i, path);
		fd = open(path, O_RDONLY);
		if (fd < 0)
			return false;
		while ((n = read(fd, piece, sizeof(piece))) > 0) {
			for (ssize_t at = 0; at < n; at++)
				if (piece[at] != (char)fill)
					return false;
			len += (size_t)n;
		}
		close(fd);
		if (len != kib * 1024)
			return false;
	}
	return true;
}

/* The number of names in the cache that are not those of complete entries. */
static inline unsigned int count_unfinished(const struct cache *cache)
{
	DIR *d = opendir(cache->path);
	unsigned int count = 0;
	struct dirent *name;

	if (!d)
		return 0;
	while ((name = readdir(d)))
		count += strlen(name->d_name) > CACHE_KEY_TEXT_BYTES - 1;
	closedir(d);
	return count;
}

#endif
