// SPDX-License-Identifier: BSD-2-Clause
/*
 * The O_PATH descriptors of inodes, within the budget: those without a user are
 * in a list, the one that was used longest ago first.  By the table's lock.
 */
#include <stdlib.h>
#include <unistd.h>

#include "vmm/fs/inode_private.h"

void inode_l_use(struct inode_table *t, struct inode *inode)
{
	if (inode_l_is_listed(t, inode))
		inode_l_unlist(t, inode);
	inode->users++;
}

/* Gives up one use of the inode's descriptor; with the lock. */
static void release(struct inode_table *t, struct inode *inode)
{
	inode->users--;
	if (inode_l_is_listed(t, inode))
		inode_l_list(t, inode);
}

bool inode_fd_reserve(struct inode_table *t, struct inode **victim)
{
	bool reserved;

	*victim = NULL;
	pthread_mutex_lock(&t->lock);
	reserved = t->fds < t->fds_max;
	if (reserved) {
		t->fds++;
	} else if (t->oldest) {
		*victim = t->oldest;
		inode_l_use(t, *victim);
		(*victim)->refs++;
	}
	pthread_mutex_unlock(&t->lock);
	return reserved;
}

void inode_fd_unreserve(struct inode_table *t)
{
	pthread_mutex_lock(&t->lock);
	t->fds--;
	pthread_mutex_unlock(&t->lock);
}

void inode_fd_evict(struct inode_table *t, struct inode *inode,
		    struct file_handle *file_handle)
{
	struct inode_dead dead = { 0 };
	int fd = -1;

	pthread_mutex_lock(&t->lock);
	if (!inode->file_handle) {
		inode->file_handle = file_handle;
		file_handle = NULL;
	}
	if (inode->users == 1) {
		fd = inode->fd;
		inode->fd = -1;
		t->fds--;
	}
	release(t, inode);
	inode_l_put(t, inode, &dead);
	pthread_mutex_unlock(&t->lock);
	inode_free_dead(&dead);
	free(file_handle);
	if (fd >= 0)
		close(fd);
}

int inode_fd_use(struct inode_table *t, struct inode *inode)
{
	int fd;

	pthread_mutex_lock(&t->lock);
	fd = inode->fd;
	if (fd >= 0)
		inode_l_use(t, inode);
	pthread_mutex_unlock(&t->lock);
	return fd;
}

void inode_fd_release(struct inode_table *t, struct inode *inode)
{
	pthread_mutex_lock(&t->lock);
	release(t, inode);
	pthread_mutex_unlock(&t->lock);
}

int inode_fd_give(struct inode_table *t, struct inode *inode, int fd)
{
	int spare = -1, now;

	pthread_mutex_lock(&t->lock);
	if (inode->fd >= 0) {
		spare = fd;
		t->fds--;
		inode_l_use(t, inode);
	} else {
		inode->fd = fd;
		inode->users++;
	}
	now = inode->fd;
	pthread_mutex_unlock(&t->lock);
	if (spare >= 0)
		close(spare);
	return now;
}

const struct file_handle *inode_file_handle(struct inode_table *t,
					    struct inode *inode)
{
	const struct file_handle *file_handle;

	pthread_mutex_lock(&t->lock);
	file_handle = inode->file_handle;
	pthread_mutex_unlock(&t->lock);
	return file_handle;
}
