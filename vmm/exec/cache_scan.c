/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What concerns all entries of the cache: the list, the limit of their size,
 * and the removal of all and of what killed runs have left. Any thread.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/clock.h"
#include "vmm/exec/cache_private.h"

#define DESCRIPTION_MAX_BYTES 512

/* The open directory of the cache, to be closed; NULL, logged. */
static DIR *open_names(const struct cache *cache)
{
	int fd = openat(cache->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		cache_error(cache, errno, "read", "directory");
		if (fd >= 0)
			close(fd);
	}
	return d;
}

/* The first line of the description; NULL: no memory. */
static char *read_description(int dir_fd)
{
	CLEANUP_CLOSE int fd =
		openat(dir_fd, CACHE_DESCRIPTION_NAME,
		       O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char text[DESCRIPTION_MAX_BYTES + 1];
	ssize_t n = fd < 0 ? -1 : read(fd, text, DESCRIPTION_MAX_BYTES);

	text[n < 0 ? 0 : n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return strdup(text);
}

/* Fills in @item; -ENOENT if there is no entry @name any more. */
static int read_item(const struct cache *cache, const char *name,
		     struct cache_item *item)
{
	CLEANUP_CLOSE int dir =
		openat(cache->dir_fd, name,
		       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (dir < 0 || fstat(dir, &st))
		return -ENOENT;
	memcpy(item->key, name, CACHE_KEY_TEXT_BYTES);
	item->used_ns = clock_ns(&st.st_mtim);
	item->size_bytes = cache_entry_bytes(dir);
	item->in_use = cache_entry_in_use(dir);
	item->description = read_description(dir);
	return item->description ? 0 : -ENOMEM;
}

static int add_item(const struct cache *cache, const char *name,
		    struct cache_list *list)
{
	struct cache_item *items = reallocarray(list->items, list->count + 1,
						sizeof(list->items[0]));
	int err;

	if (!items)
		return -ENOMEM;
	list->items = items;
	err = read_item(cache, name, &items[list->count]);
	list->count += !err;
	return err == -ENOENT ? 0 : err;
}

/* Descending time of use, then ascending key. */
static int compare_items(const void *a, const void *b)
{
	const struct cache_item *x = a, *y = b;

	if (x->used_ns != y->used_ns)
		return x->used_ns < y->used_ns ? 1 : -1;
	return strcmp(x->key, y->key);
}

int cache_list(const struct cache *cache, struct cache_list *list)
{
	DIR *d = open_names(cache);
	struct dirent *name;
	int err = 0;

	*list = (struct cache_list){ 0 };
	if (!d)
		return -EIO;
	while (!err && (name = readdir(d)))
		if (cache_is_key(name->d_name))
			err = add_item(cache, name->d_name, list);
	closedir(d);
	if (err) {
		cache_list_finish(list);
		return cache_error(cache, -err, "list", "entries");
	}
	if (list->count)
		qsort(list->items, list->count, sizeof(list->items[0]),
		      compare_items);
	return 0;
}

void cache_list_finish(struct cache_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i].description);
	free(list->items);
	*list = (struct cache_list){ 0 };
}

/* Removes entries from the end of @list until @bytes more fit. */
static int evict(const struct cache *cache, const struct cache_list *list,
		 uint64_t bytes)
{
	uint64_t total = bytes, fixed = bytes;

	for (size_t i = 0; i < list->count; i++) {
		total += list->items[i].size_bytes;
		if (list->items[i].in_use)
			fixed += list->items[i].size_bytes;
	}
	if (fixed > cache->limit_bytes)
		return -ENOSPC;
	for (size_t i = list->count; i > 0 && total > cache->limit_bytes; i--) {
		const struct cache_item *item = &list->items[i - 1];
		int err = cache_entry_remove(cache, item->key, NULL);

		/* Not there: it was removed by another process. */
		if (!err || err == -ENOENT)
			total -= item->size_bytes;
		if (!err)
			log_debug("exec cache %s: %s removed", cache->path,
				  item->key);
	}
	return total > cache->limit_bytes ? -ENOSPC : 0;
}

int cache_make_room(const struct cache *cache, uint64_t bytes)
{
	struct cache_list list;
	int err = cache_list(cache, &list);

	if (err)
		return err;
	err = evict(cache, &list, bytes);
	cache_list_finish(&list);
	return err ? cache_error(cache, -err, "add", "entry") : 0;
}

/* Removes @name and counts it. */
static void clear_one(const struct cache *cache, const char *name,
		      struct cache_cleared *cleared)
{
	int err = cache_entry_remove(cache, name, &cleared->removed_bytes);

	if (!err && cache_is_key(name))
		cleared->removed++;
	else if (!err)
		cleared->leftovers++;
	else if (err == -EBUSY)
		cleared->in_use++;
	else if (err != -ENOENT)
		cache_error(cache, -err, "remove", name);
}

/* Removes the unfinished entries, and the others if @all. */
static int clear(const struct cache *cache, struct cache_cleared *cleared,
		 bool all)
{
	DIR *d = open_names(cache);
	struct dirent *name;

	*cleared = (struct cache_cleared){ 0 };
	if (!d)
		return -EIO;
	while ((name = readdir(d)))
		if (cache_is_unfinished(name->d_name) ||
		    (all && cache_is_key(name->d_name)))
			clear_one(cache, name->d_name, cleared);
	closedir(d);
	return 0;
}

void cache_sweep(const struct cache *cache)
{
	struct cache_cleared cleared;

	clear(cache, &cleared, false);
}

int cache_clear(const struct cache *cache, struct cache_cleared *cleared)
{
	return clear(cache, cleared, true);
}
