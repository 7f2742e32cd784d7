/* SPDX-License-Identifier: BSD-2-Clause */
/* Trees of files below a directory of the test's own. */
#ifndef TESTS_UNIT_EXEC_TREE_H
#define TESTS_UNIT_EXEC_TREE_H

#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/unit/boot/helper.h"

struct tree {
	char dir[64];
};

static inline void tree_begin(struct tree *t)
{
	snprintf(t->dir, sizeof(t->dir), "/tmp/exec-test-XXXXXX");
	assert_non_null(mkdtemp(t->dir));
}

static inline int tree_unlink(const char *path, const struct stat *st, int type,
			      struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static inline void tree_end(struct tree *t)
{
	nftw(t->dir, tree_unlink, 8, FTW_DEPTH | FTW_PHYS);
}

/* Makes a file and the directories above it. */
static inline void tree_put(const struct tree *t, const char *name,
			    const void *data, size_t len)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", t->dir, name);
	for (char *c = path + strlen(t->dir) + 1; *c != '\0'; c++)
		if (*c == '/') {
			*c = '\0';
			mkdir(path, 0755);
			*c = '/';
		}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	close(fd);
}

static inline void tree_text(const struct tree *t, const char *name,
			     const char *text)
{
	tree_put(t, name, text, strlen(text));
}

#endif
