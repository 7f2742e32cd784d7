/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The handle table: what the guest has opened and not released.
 *
 * Handle numbers are never used twice.  A handle refers to its inode and has a
 * descriptor, which a restored one gets on first use.  It is freed when it was
 * released and no request uses it any more.
 *
 * Any thread; the table has one lock, which is not held for system calls while
 * requests run.  Taken before the lock of the inode table, if both are.
 */
#ifndef VMM_FS_HANDLE_H
#define VMM_FS_HANDLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/fs/inode.h"

struct handle {
	uint64_t id;
	struct inode *inode; /* a reference */
	int flags; /* for open(2), without what has an effect only once */
	int fd; /* reserved in the inode table; -1: not opened yet */
	unsigned int refs; /* one of the table, one of each request */
	/* One READDIR at a time, as they share the descriptor's position. */
	pthread_mutex_t position_lock;
	struct handle *next;
};

struct handle_table {
	pthread_mutex_t lock;
	struct inode_table *inodes; /* not owned */
	struct handle **chains;
	size_t count;
	size_t unopened; /* handles without a descriptor */
	uint64_t next_id;
};

/* 0, or -ENOMEM with a table that handle_table_finish() takes. */
int handle_table_init(struct handle_table *t, struct inode_table *inodes);
/* Closes all.  A zeroed table is fine. */
void handle_table_finish(struct handle_table *t);

/*
 * Adds a handle of @inode, to which it adds a reference.  @fd is
 * reserved and becomes the table's, or -1.  @id 0: the next.  -ENFILE (table
 * full), -ENOMEM, -EEXIST; @fd is the caller's then.
 */
#define HANDLES_MAX 65536
int handle_add(struct handle_table *t, uint64_t id, struct inode *inode,
	       int flags, int fd, uint64_t *new_id);

/* The handle with this id, to be put; NULL if there is none. */
struct handle *handle_get(struct handle_table *t, uint64_t id);
/*
 * The handle of the inode without a descriptor that has the lowest id above
 * @after, to be put; or NULL.
 */
struct handle *handle_unopened(struct handle_table *t,
			       const struct inode *inode, uint64_t after);
/* Any handle of the inode that has a descriptor, to be put; or NULL. */
struct handle *handle_of_inode(struct handle_table *t,
			       const struct inode *inode);
void handle_put(struct handle_table *t, struct handle *handle);

/* Gives a handle its reserved descriptor; closes @fd if it has one.  Its fd. */
int handle_give(struct handle_table *t, struct handle *handle, int fd);
/* The descriptor, or -1. */
int handle_fd(struct handle_table *t, struct handle *handle);

/* Removes the handle from the table; false when there is none of this inode. */
bool handle_release(struct handle_table *t, uint64_t id, uint64_t inode_id);
void handle_release_all(struct handle_table *t);

/*
 * Calls @each for every handle, with the lock held, until it returns other than
 * 0, which is the result.
 */
int handle_for_each(struct handle_table *t,
		    int (*each)(void *ctx, const struct handle *handle),
		    void *ctx);

#endif
