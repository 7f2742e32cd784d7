/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the inode table share.  Functions of the name inode_l_ are
 * called with the table's lock held.
 */
#ifndef VMM_FS_INODE_PRIVATE_H
#define VMM_FS_INODE_PRIVATE_H

#include "vmm/fs/inode.h"

/* Takes the inode out of the list of fds without users. */
static inline void inode_l_unlist(struct inode_table *t, struct inode *inode)
{
	struct inode **older = inode->newer ? &inode->newer->older : &t->newest;
	struct inode **newer = inode->older ? &inode->older->newer : &t->oldest;

	*older = inode->older;
	*newer = inode->newer;
	inode->older = inode->newer = NULL;
}

/* Puts the inode at the new end of that list. */
static inline void inode_l_list(struct inode_table *t, struct inode *inode)
{
	inode->older = t->newest;
	inode->newer = NULL;
	*(t->newest ? &t->newest->newer : &t->oldest) = inode;
	t->newest = inode;
}

/* Whether the inode is in the list. */
static inline bool inode_l_is_listed(const struct inode_table *t,
				     const struct inode *inode)
{
	return inode->fd >= 0 && !inode->users && inode != t->root;
}

/* One more user of the inode's fd. */
void inode_l_use(struct inode_table *t, struct inode *inode);

bool inode_same_key(const struct inode_key *a, const struct inode_key *b);

/* Inodes that exist no more, linked by next_of_id; freed without the lock. */
struct inode_dead {
	struct inode *first;
};
void inode_free_dead(struct inode_dead *dead);

struct inode *inode_l_find_key(const struct inode_table *t,
			       const struct inode_key *key);
struct inode *inode_l_find_place(const struct inode_table *t,
				 const struct inode *parent, const char *name);

/* Makes an inode with one reference.  @id 0: the next.  -ENFILE, -ENOMEM. */
int inode_l_new(struct inode_table *t, uint64_t id, struct inode **inode);
void inode_l_put(struct inode_table *t, struct inode *inode,
		 struct inode_dead *dead);

void inode_l_set_key(struct inode_table *t, struct inode *inode,
		     const struct inode_key *key);

/* Takes the place away; the name stays as the last known one. */
void inode_l_drop_place(struct inode_table *t, struct inode *inode,
			struct inode_dead *dead);
/* Gives the inode, which has no place, one that is free; @name as below. */
void inode_l_set_first_place(struct inode_table *t, struct inode *inode,
			     struct inode *parent, char *name);
/*
 * Gives the inode a place, which it takes from whatever has it, and breaks a
 * cycle of parents, which are stale then.  @name, on the heap, is the inode's
 * afterwards.
 */
void inode_l_set_place(struct inode_table *t, struct inode *inode,
		       struct inode *parent, char *name,
		       struct inode_dead *dead);

#endif
