// SPDX-License-Identifier: BSD-2-Clause
/* See the header. */
#include "vmm/fs/handle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHAINS 1024

int handle_table_init(struct handle_table *t, struct inode_table *inodes)
{
	memset(t, 0, sizeof(*t));
	t->inodes = inodes;
	t->next_id = 1;
	t->chains = calloc(CHAINS, sizeof(struct handle *));
	if (!t->chains)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	return 0;
}

void handle_table_finish(struct handle_table *t)
{
	if (!t->chains)
		return;
	handle_release_all(t);
	free(t->chains);
	pthread_mutex_destroy(&t->lock);
	memset(t, 0, sizeof(*t));
}

static struct handle **chain(struct handle_table *t, uint64_t id)
{
	return &t->chains[id % CHAINS];
}

/* The link that points to the handle, or the end of its chain. */
static struct handle **find(struct handle_table *t, uint64_t id)
{
	struct handle **at = chain(t, id);

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	return at;
}

int handle_add(struct handle_table *t, uint64_t id, struct inode *inode,
	       int flags, int fd, uint64_t *new_id)
{
	struct handle *handle = calloc(1, sizeof(*handle));
	int r = 0;

	if (!handle)
		return -ENOMEM;
	handle->inode = inode;
	handle->flags = flags;
	handle->fd = fd;
	handle->refs = 1;
	pthread_mutex_init(&handle->position_lock, NULL);
	pthread_mutex_lock(&t->lock);
	handle->id = id ? id : t->next_id++;
	if (t->count >= HANDLES_MAX) {
		r = -ENFILE;
	} else if (*find(t, handle->id)) {
		r = -EEXIST;
	} else {
		inode_hold(t->inodes, inode);
		handle->next = *chain(t, handle->id);
		*chain(t, handle->id) = handle;
		t->count++;
		t->unopened += fd < 0;
		*new_id = handle->id;
	}
	pthread_mutex_unlock(&t->lock);
	if (r < 0)
		free(handle);
	return r;
}

struct handle *handle_get(struct handle_table *t, uint64_t id)
{
	struct handle *handle;

	pthread_mutex_lock(&t->lock);
	handle = *find(t, id);
	if (handle)
		handle->refs++;
	pthread_mutex_unlock(&t->lock);
	return handle;
}

/* Whether a handle is of the inode, has no descriptor, and an id above. */
static bool is_unopened(const struct handle *handle, const struct inode *inode,
			uint64_t after)
{
	return handle->inode == inode && handle->fd < 0 && handle->id > after;
}

struct handle *handle_unopened(struct handle_table *t,
			       const struct inode *inode, uint64_t after)
{
	struct handle *found = NULL;

	pthread_mutex_lock(&t->lock);
	/* Only a restored session has any. */
	for (size_t i = 0; t->unopened && i < CHAINS; i++)
		for (struct handle *h = t->chains[i]; h; h = h->next)
			if (is_unopened(h, inode, after) &&
			    (!found || h->id < found->id))
				found = h;
	if (found)
		found->refs++;
	pthread_mutex_unlock(&t->lock);
	return found;
}

struct handle *handle_of_inode(struct handle_table *t,
			       const struct inode *inode)
{
	struct handle *handle = NULL;

	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < CHAINS && !handle; i++) {
		handle = t->chains[i];
		while (handle && (handle->inode != inode || handle->fd < 0))
			handle = handle->next;
	}
	if (handle)
		handle->refs++;
	pthread_mutex_unlock(&t->lock);
	return handle;
}

void handle_put(struct handle_table *t, struct handle *handle)
{
	bool last;

	pthread_mutex_lock(&t->lock);
	last = --handle->refs == 0;
	t->unopened -= last && handle->fd < 0;
	pthread_mutex_unlock(&t->lock);
	if (!last)
		return;
	if (handle->fd >= 0) {
		close(handle->fd);
		inode_fd_unreserve(t->inodes);
	}
	inode_put(t->inodes, handle->inode);
	pthread_mutex_destroy(&handle->position_lock);
	free(handle);
}

int handle_give(struct handle_table *t, struct handle *handle, int fd)
{
	int spare = -1, now;

	pthread_mutex_lock(&t->lock);
	if (handle->fd >= 0) {
		spare = fd;
	} else {
		handle->fd = fd;
		t->unopened--;
	}
	now = handle->fd;
	pthread_mutex_unlock(&t->lock);
	if (spare >= 0) {
		close(spare);
		inode_fd_unreserve(t->inodes);
	}
	return now;
}

int handle_fd(struct handle_table *t, struct handle *handle)
{
	int fd;

	pthread_mutex_lock(&t->lock);
	fd = handle->fd;
	pthread_mutex_unlock(&t->lock);
	return fd;
}

bool handle_release(struct handle_table *t, uint64_t id, uint64_t inode_id)
{
	struct handle **at, *handle;

	pthread_mutex_lock(&t->lock);
	at = find(t, id);
	handle = *at;
	if (handle && handle->inode->id == inode_id) {
		*at = handle->next;
		t->count--;
	} else {
		handle = NULL;
	}
	pthread_mutex_unlock(&t->lock);
	if (handle)
		handle_put(t, handle);
	return handle;
}

void handle_release_all(struct handle_table *t)
{
	for (size_t i = 0; i < CHAINS; i++) {
		struct handle *first;

		do {
			pthread_mutex_lock(&t->lock);
			first = t->chains[i];
			if (first) {
				t->chains[i] = first->next;
				t->count--;
			}
			pthread_mutex_unlock(&t->lock);
			if (first)
				handle_put(t, first);
		} while (first);
	}
}

int handle_for_each(struct handle_table *t,
		    int (*each)(void *ctx, const struct handle *handle),
		    void *ctx)
{
	int r = 0;

	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < CHAINS && r == 0; i++)
		for (struct handle *h = t->chains[i]; h && r == 0; h = h->next)
			r = each(ctx, h);
	pthread_mutex_unlock(&t->lock);
	return r;
}
