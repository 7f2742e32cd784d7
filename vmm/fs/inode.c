// SPDX-License-Identifier: BSD-2-Clause
/*
 * The inode table: its chains, references and lookups.  Any thread; the table's
 * lock guards all of it, and is held for no system call.
 */
#include "vmm/fs/inode_private.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/bytes.h"

#define FIRST_BUCKETS 1024

/* Spreads the bits of a number over all of its bits (Murmur's finalizer). */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	x *= UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ x >> 33;
}

/* The chain of a hash. */
static struct inode **chain(const struct inode_table *t, struct inode **heads,
			    uint64_t hash)
{
	return &heads[hash & (t->buckets - 1)];
}

static uint64_t hash_key(const struct inode_key *key)
{
	return mix(key->ino ^ mix(key->dev));
}

/* FNV-1a over the name, from the parent's id. */
static uint64_t hash_place(const struct inode *parent, const char *name)
{
	uint64_t hash = mix(parent->id);

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
	return mix(hash);
}

bool inode_same_key(const struct inode_key *a, const struct inode_key *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->type == b->type &&
	       a->birth_ns == b->birth_ns;
}

static struct inode **new_chains(size_t count)
{
	return calloc(count, sizeof(void *));
}

int inode_table_init(struct inode_table *t, size_t count_max,
		     unsigned int fds_max)
{
	memset(t, 0, sizeof(*t));
	pthread_mutex_init(&t->lock, NULL);
	t->buckets = FIRST_BUCKETS;
	t->count_max = count_max;
	t->fds_max = fds_max;
	t->next_id = FUSE_ROOT_ID + 1;
	t->by_id = new_chains(t->buckets);
	t->by_key = new_chains(t->buckets);
	t->by_place = new_chains(t->buckets);
	return t->by_id && t->by_key && t->by_place ? 0 : -ENOMEM;
}

/* Frees one inode and closes its fd, which nothing else counts. */
static void free_one(struct inode *inode)
{
	if (inode->fd >= 0)
		close(inode->fd);
	free(inode->file_handle);
	free(inode->name);
	free(inode);
}

void inode_table_finish(struct inode_table *t)
{
	if (!t->buckets)
		return;
	for (size_t i = 0; t->by_id && i < t->buckets; i++) {
		while (t->by_id[i]) {
			struct inode *inode = t->by_id[i];

			t->by_id[i] = inode->next_of_id;
			free_one(inode);
		}
	}
	free(t->by_id);
	free(t->by_key);
	free(t->by_place);
	pthread_mutex_destroy(&t->lock);
	memset(t, 0, sizeof(*t));
}

void inode_free_dead(struct inode_dead *dead)
{
	while (dead->first) {
		struct inode *inode = dead->first;

		dead->first = inode->next_of_id;
		free_one(inode);
	}
}

static struct inode *find(const struct inode_table *t, uint64_t id)
{
	struct inode *inode = *chain(t, t->by_id, mix(id));

	while (inode && inode->id != id)
		inode = inode->next_of_id;
	return inode;
}

struct inode *inode_l_find_key(const struct inode_table *t,
			       const struct inode_key *key)
{
	struct inode *inode = *chain(t, t->by_key, hash_key(key));

	while (inode && !inode_same_key(&inode->key, key))
		inode = inode->next_of_key;
	return inode;
}

struct inode *inode_l_find_place(const struct inode_table *t,
				 const struct inode *parent, const char *name)
{
	struct inode *inode = *chain(t, t->by_place, hash_place(parent, name));

	while (inode &&
	       (inode->parent != parent || strcmp(inode->name, name) != 0))
		inode = inode->next_of_place;
	return inode;
}

static void link_id(struct inode_table *t, struct inode *inode)
{
	struct inode **head = chain(t, t->by_id, mix(inode->id));

	inode->next_of_id = *head;
	*head = inode;
}

static void link_key(struct inode_table *t, struct inode *inode)
{
	struct inode **head = chain(t, t->by_key, hash_key(&inode->key));

	inode->next_of_key = *head;
	*head = inode;
}

static void link_place(struct inode_table *t, struct inode *inode)
{
	struct inode **head =
		chain(t, t->by_place, hash_place(inode->parent, inode->name));

	inode->next_of_place = *head;
	*head = inode;
}

static void unlink_id(struct inode_table *t, struct inode *inode)
{
	struct inode **at = chain(t, t->by_id, mix(inode->id));

	while (*at != inode)
		at = &(*at)->next_of_id;
	*at = inode->next_of_id;
}

static void unlink_key(struct inode_table *t, struct inode *inode)
{
	struct inode **at = chain(t, t->by_key, hash_key(&inode->key));

	while (*at != inode)
		at = &(*at)->next_of_key;
	*at = inode->next_of_key;
}

static void unlink_place(struct inode_table *t, struct inode *inode)
{
	struct inode **at =
		chain(t, t->by_place, hash_place(inode->parent, inode->name));

	while (*at != inode)
		at = &(*at)->next_of_place;
	*at = inode->next_of_place;
}

/* Doubles the buckets; without memory, the chains just become longer. */
static void grow(struct inode_table *t)
{
	struct inode_table old = *t;
	size_t buckets = t->buckets * 2;
	struct inode **id = new_chains(buckets);
	struct inode **key = new_chains(buckets);
	struct inode **place = new_chains(buckets);

	if (!id || !key || !place) {
		free(id);
		free(key);
		free(place);
		return;
	}
	t->buckets = buckets;
	t->by_id = id;
	t->by_key = key;
	t->by_place = place;
	for (size_t i = 0; i < old.buckets; i++) {
		struct inode *inode, *next;

		for (inode = old.by_id[i]; inode; inode = next) {
			next = inode->next_of_id;
			link_id(t, inode);
			if (inode->key_is_known)
				link_key(t, inode);
			if (inode->parent)
				link_place(t, inode);
		}
	}
	free(old.by_id);
	free(old.by_key);
	free(old.by_place);
}

int inode_l_new(struct inode_table *t, uint64_t id, struct inode **out)
{
	struct inode *inode;

	if (t->count >= t->count_max)
		return -ENFILE;
	inode = calloc(1, sizeof(*inode));
	if (!inode)
		return -ENOMEM;
	inode->id = id ? id : t->next_id++;
	inode->fd = -1;
	inode->refs = 1;
	if (t->count >= t->buckets)
		grow(t);
	link_id(t, inode);
	t->count++;
	*out = inode;
	return 0;
}

void inode_l_set_key(struct inode_table *t, struct inode *inode,
		     const struct inode_key *key)
{
	/* Requests look at the type without the lock: it never changes. */
	if (inode->key.type != key->type)
		inode->key.type = key->type;
	inode->key.dev = key->dev;
	inode->key.ino = key->ino;
	inode->key.birth_ns = key->birth_ns;
	inode->key_is_known = true;
	link_key(t, inode);
}

/* Takes an inode out of the table, as nothing needs it. */
static void bury(struct inode_table *t, struct inode *inode,
		 struct inode_dead *dead)
{
	if (inode_l_is_listed(t, inode))
		inode_l_unlist(t, inode);
	if (inode->fd >= 0)
		t->fds--;
	if (inode->key_is_known)
		unlink_key(t, inode);
	if (inode->parent)
		unlink_place(t, inode);
	unlink_id(t, inode);
	t->count--;
	inode->next_of_id = dead->first;
	dead->first = inode;
}

/* A loop and no recursion, as a chain of parents may be long. */
void inode_l_put(struct inode_table *t, struct inode *inode,
		 struct inode_dead *dead)
{
	while (inode && --inode->refs == 0 && !inode->lookups) {
		struct inode *parent = inode->parent;

		bury(t, inode, dead);
		inode = parent;
	}
}

void inode_l_drop_place(struct inode_table *t, struct inode *inode,
			struct inode_dead *dead)
{
	struct inode *parent = inode->parent;

	if (!parent)
		return;
	unlink_place(t, inode);
	inode->parent = NULL;
	inode_l_put(t, parent, dead);
}

void inode_l_set_first_place(struct inode_table *t, struct inode *inode,
			     struct inode *parent, char *name)
{
	free(inode->name);
	inode->name = name;
	parent->refs++;
	inode->parent = parent;
	link_place(t, inode);
}

void inode_l_set_place(struct inode_table *t, struct inode *inode,
		       struct inode *parent, char *name,
		       struct inode_dead *dead)
{
	struct inode *other = inode_l_find_place(t, parent, name);

	/* The parent must outlive the place that is dropped. */
	parent->refs++;
	if (other)
		inode_l_drop_place(t, other, dead);
	inode_l_drop_place(t, inode, dead);
	for (struct inode *at = parent; at; at = at->parent) {
		if (at->parent == inode) {
			inode_l_drop_place(t, at, dead);
			break;
		}
	}
	free(inode->name);
	inode->name = name;
	if (parent == inode || inode == t->root) {
		inode_l_put(t, parent, dead);
		return;
	}
	inode->parent = parent;
	link_place(t, inode);
}

int inode_set_root(struct inode_table *t, const struct inode_key *key, int fd)
{
	int r = inode_l_new(t, FUSE_ROOT_ID, &t->root);

	if (r < 0)
		return r;
	inode_l_set_key(t, t->root, key);
	t->root->fd = fd;
	t->fds++;
	return 0;
}

struct inode *inode_get(struct inode_table *t, uint64_t id)
{
	struct inode *inode;

	pthread_mutex_lock(&t->lock);
	inode = find(t, id);
	if (inode)
		inode->refs++;
	pthread_mutex_unlock(&t->lock);
	return inode;
}

void inode_hold(struct inode_table *t, struct inode *inode)
{
	pthread_mutex_lock(&t->lock);
	inode->refs++;
	pthread_mutex_unlock(&t->lock);
}

void inode_put(struct inode_table *t, struct inode *inode)
{
	struct inode_dead dead = { 0 };

	pthread_mutex_lock(&t->lock);
	inode_l_put(t, inode, &dead);
	pthread_mutex_unlock(&t->lock);
	inode_free_dead(&dead);
}

void inode_forget(struct inode_table *t, uint64_t id, uint64_t lookups)
{
	struct inode_dead dead = { 0 };
	struct inode *inode;

	pthread_mutex_lock(&t->lock);
	inode = find(t, id);
	if (inode) {
		inode->refs++;
		inode->lookups -= min_u64(inode->lookups, lookups);
		inode_l_put(t, inode, &dead);
	}
	pthread_mutex_unlock(&t->lock);
	inode_free_dead(&dead);
}

void inode_forget_all(struct inode_table *t)
{
	struct inode_dead dead = { 0 };

	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < t->buckets; i++) {
		struct inode *inode = t->by_id[i];

		while (inode) {
			if (!inode->lookups) {
				inode = inode->next_of_id;
				continue;
			}
			inode->refs++;
			inode->lookups = 0;
			inode_l_put(t, inode, &dead);
			/* Any inode of the chain may be gone with it. */
			inode = t->by_id[i];
		}
	}
	pthread_mutex_unlock(&t->lock);
	inode_free_dead(&dead);
}

int inode_add_saved(struct inode_table *t, uint64_t id,
		    const struct inode_key *key, bool key_is_known,
		    uint64_t lookups, struct inode **inode)
{
	int r;

	pthread_mutex_lock(&t->lock);
	r = find(t, id) ? -EEXIST : inode_l_new(t, id, inode);
	if (r == 0) {
		(*inode)->lookups = lookups;
		(*inode)->key = *key;
		if (key_is_known)
			inode_l_set_key(t, *inode, key);
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}

void inode_for_each(struct inode_table *t,
		    void (*each)(void *ctx, struct inode *inode), void *ctx)
{
	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < t->buckets; i++)
		for (struct inode *at = t->by_id[i]; at; at = at->next_of_id)
			if (at != t->root)
				each(ctx, at);
	pthread_mutex_unlock(&t->lock);
}
