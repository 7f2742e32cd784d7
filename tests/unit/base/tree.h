/* SPDX-License-Identifier: BSD-2-Clause */
/* Temporary directories of tests. */
#ifndef TESTS_UNIT_BASE_TREE_H
#define TESTS_UNIT_BASE_TREE_H

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Removes @name of directory @at, and all below it, of any depth. */
static inline void remove_tree_at(int at, const char *name)
{
	const struct dirent *entry;
	DIR *dir;
	int fd;

	if (unlinkat(at, name, 0) == 0)
		return;
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return;
	while ((entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			remove_tree_at(fd, entry->d_name);
	closedir(dir);
	unlinkat(at, name, AT_REMOVEDIR);
}

/* Removes @path and all below it; symbolic links are not followed. */
static inline void remove_tree(const char *path)
{
	remove_tree_at(AT_FDCWD, path);
}

#endif
