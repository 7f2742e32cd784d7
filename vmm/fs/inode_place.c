// SPDX-License-Identifier: BSD-2-Clause
/* Where inodes are: names removed, moved, and paths.  By the table's lock. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/fs/inode_private.h"

struct inode *inode_at_place(struct inode_table *t, const struct inode *parent,
			     const char *name)
{
	struct inode *inode;

	pthread_mutex_lock(&t->lock);
	inode = inode_l_find_place(t, parent, name);
	if (inode)
		inode->refs++;
	pthread_mutex_unlock(&t->lock);
	return inode;
}

void inode_place_removed(struct inode_table *t, struct inode *parent,
			 const char *name)
{
	struct inode_dead dead = { 0 };
	struct inode *inode;

	pthread_mutex_lock(&t->lock);
	inode = inode_l_find_place(t, parent, name);
	if (inode)
		inode_l_drop_place(t, inode, &dead);
	pthread_mutex_unlock(&t->lock);
	inode_free_dead(&dead);
}

/* Moves an inode; without memory for the name it loses its place. */
static void move(struct inode_table *t, struct inode *inode, struct inode *to,
		 const char *name, struct inode_dead *dead)
{
	char *copy = strdup(name);

	if (copy)
		inode_l_set_place(t, inode, to, copy, dead);
	else
		inode_l_drop_place(t, inode, dead);
}

void inode_place_moved(struct inode_table *t, struct inode *from,
		       const char *old_name, struct inode *to,
		       const char *new_name, bool exchanged)
{
	struct inode_dead dead = { 0 };
	struct inode *moved, *target;

	pthread_mutex_lock(&t->lock);
	moved = inode_l_find_place(t, from, old_name);
	target = inode_l_find_place(t, to, new_name);
	/* Two names of one file: rename() does nothing then. */
	if (moved == target)
		goto out;
	if (target) {
		target->refs++;
		inode_l_drop_place(t, target, &dead);
	}
	if (moved)
		move(t, moved, to, new_name, &dead);
	if (target && exchanged)
		move(t, target, from, old_name, &dead);
	if (target)
		inode_l_put(t, target, &dead);
out:
	pthread_mutex_unlock(&t->lock);
	inode_free_dead(&dead);
}

int inode_place_saved(struct inode_table *t, struct inode *inode,
		      struct inode *parent, const char *name)
{
	char *copy = strdup(name);
	int r = 0;

	if (!copy)
		return -ENOMEM;
	pthread_mutex_lock(&t->lock);
	if (inode == t->root || inode == parent)
		r = -ELOOP;
	else if (inode_l_find_place(t, parent, name))
		r = -EEXIST;
	else
		inode_l_set_first_place(t, inode, parent, copy);
	pthread_mutex_unlock(&t->lock);
	if (r < 0)
		free(copy);
	return r;
}

/* Calls of inode_has_ring()'s walk and what they share. */
struct ring_walk {
	uint64_t number;
	bool found;
};

/* Marks the parents up to those of a walk before; its own are a ring. */
static void walk_up(void *ctx, struct inode *inode)
{
	struct ring_walk *walk = ctx;

	walk->number++;
	while (inode && !inode->checked_by) {
		inode->checked_by = walk->number;
		inode = inode->parent;
	}
	walk->found |= inode && inode->checked_by == walk->number;
}

static void unmark(void *ctx, struct inode *inode)
{
	(void)ctx;
	inode->checked_by = 0;
}

bool inode_has_ring(struct inode_table *t)
{
	struct ring_walk walk = { 0 };

	inode_for_each(t, walk_up, &walk);
	inode_for_each(t, unmark, NULL);
	t->root->checked_by = 0;
	return walk.found;
}

/* Puts a name before the path that ends at @end of @path; false: no space. */
static bool prepend(char *path, size_t *start, const char *name)
{
	size_t len = strlen(name);

	if (len + 1 > *start)
		return false;
	if (path[*start])
		path[--*start] = '/';
	*start -= len;
	memcpy(path + *start, name, len);
	return true;
}

int inode_path(struct inode_table *t, struct inode *inode, char *path,
	       size_t size, struct inode **from, int *from_fd)
{
	size_t start = size - 1;
	struct inode *at = inode;
	int r = 0;

	path[start] = '\0';
	pthread_mutex_lock(&t->lock);
	do {
		if (!at->parent)
			r = -ESTALE;
		else if (!prepend(path, &start, at->name))
			r = -ENAMETOOLONG;
		at = at->parent;
	} while (r == 0 && at->fd < 0);
	if (r == 0) {
		inode_l_use(t, at);
		at->refs++;
		*from = at;
		*from_fd = at->fd;
	}
	pthread_mutex_unlock(&t->lock);
	memmove(path, path + start, size - start);
	return r;
}

uint64_t inode_parent_ino(struct inode_table *t, struct inode *inode)
{
	uint64_t ino;

	pthread_mutex_lock(&t->lock);
	ino = inode->parent ? inode->parent->key.ino : inode->key.ino;
	pthread_mutex_unlock(&t->lock);
	return ino;
}
