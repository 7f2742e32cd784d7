// SPDX-License-Identifier: BSD-2-Clause
/* From files of the host to inodes.  Any thread, by the table's lock. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/fs/inode_private.h"

/*
 * The inode of a file: one that was restored from a copy, has this place and type
 * and has not been seen yet, or by its key.  The former is first, as it has
 * nothing but its place: the file may have been found by another name before.
 */
static struct inode *find(struct inode_table *t, const struct inode_key *key,
			  const struct inode *parent, const char *name)
{
	struct inode *inode = NULL;

	if (parent)
		inode = inode_l_find_place(t, parent, name);
	if (!inode || inode->key_is_known || inode->key.type != key->type)
		return inode_l_find_key(t, key);
	inode_l_set_key(t, inode, key);
	return inode;
}

/* Gives an inode a reserved fd if it has none. */
static void give_fd(struct inode_table *t, struct inode *inode, int *fd)
{
	if (*fd < 0 || inode->fd >= 0)
		return;
	inode->fd = *fd;
	*fd = -1;
	inode_l_list(t, inode);
}

/* Whether the inode has this place already, the common case. */
static bool has_place(const struct inode *inode, const struct inode *parent,
		      const char *name)
{
	return inode->parent == parent && !strcmp(inode->name, name);
}

int inode_intern(struct inode_table *t, const struct inode_key *key, int *fd,
		 struct inode *parent, const char *name, struct inode **out)
{
	struct inode_dead dead = { 0 };
	struct inode *inode;
	char *copy = NULL;
	int r = 0;

	pthread_mutex_lock(&t->lock);
	inode = find(t, key, parent, name);
	if (inode) {
		inode->refs++;
	} else {
		r = inode_l_new(t, 0, &inode);
		if (r == 0)
			inode_l_set_key(t, inode, key);
	}
	if (r == 0 && parent && !has_place(inode, parent, name)) {
		copy = strdup(name);
		if (copy)
			inode_l_set_place(t, inode, parent, copy, &dead);
		else
			r = -ENOMEM;
		if (r < 0)
			inode_l_put(t, inode, &dead);
	}
	if (r == 0) {
		inode->lookups++;
		give_fd(t, inode, fd);
		*out = inode;
	}
	pthread_mutex_unlock(&t->lock);
	inode_free_dead(&dead);
	return r;
}

bool inode_check_key(struct inode_table *t, struct inode *inode,
		     const struct inode_key *key)
{
	bool same;

	pthread_mutex_lock(&t->lock);
	if (!inode->key_is_known && inode->key.type == key->type)
		inode_l_set_key(t, inode, key);
	same = inode->key_is_known && inode_same_key(&inode->key, key);
	pthread_mutex_unlock(&t->lock);
	return same;
}

bool inode_version_is(struct inode_table *t, struct inode *inode,
		      const struct inode_version *version)
{
	const struct inode_version *v = &inode->version;
	bool same;

	pthread_mutex_lock(&t->lock);
	same = v->size == version->size && v->mtime_ns == version->mtime_ns &&
	       v->ctime_ns == version->ctime_ns;
	inode->version = *version;
	pthread_mutex_unlock(&t->lock);
	return same;
}
