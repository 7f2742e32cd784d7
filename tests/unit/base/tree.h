/* SPDX-License-Identifier: BSD-2-Clause */
/* Temporary directories of tests. */
#ifndef TESTS_UNIT_BASE_TREE_H
#define TESTS_UNIT_BASE_TREE_H

#include <ftw.h>
#include <stdio.h>

static inline int tree_remove_one(const char *path, const struct stat *st,
				  int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

/* Removes @path and all below it; symbolic links are not followed. */
static inline void remove_tree(const char *path)
{
	nftw(path, tree_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
