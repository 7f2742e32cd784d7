// SPDX-License-Identifier: BSD-2-Clause
/*
 * A session out of a record (save.c).  The record is hostile: ids and handles
 * must be new and below the next ones, names single components, parents known
 * and without a ring.  Memory is bounded by the record's length, which the
 * reader bounds, and the limits of the tables.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/base/log.h"
#include "vmm/fs/reach.h"
#include "vmm/fs/record.h"
#include "vmm/snap/section.h"

struct restore {
	struct fs_server *server;
	struct snap_reader *r;
	struct inode_key root; /* as it was saved */
	bool copied; /* the directory is a copy of that one */
	uint64_t next_inode, next_handle;
};

/* One inode of the record. */
struct saved_inode {
	uint64_t id, parent, lookups;
	struct inode_key key;
	char name[256];
};

static void get_key(struct snap_reader *r, struct inode_key *key)
{
	memset(key, 0, sizeof(*key));
	key->dev = snap_get_u64(r);
	key->ino = snap_get_u64(r);
	key->birth_ns = snap_get_u64(r);
	key->type = snap_get_u32(r);
}

static int get_inode(struct snap_reader *r, struct saved_inode *saved)
{
	const uint8_t *name;
	size_t len;

	saved->id = snap_get_u64(r);
	saved->parent = snap_get_u64(r);
	get_key(r, &saved->key);
	saved->lookups = snap_get_u64(r);
	name = snap_get_blob(r, sizeof(saved->name) - 1, &len);
	if (!name || r->error)
		return -EBADMSG;
	memset(saved->name, 0, sizeof(saved->name));
	memcpy(saved->name, name, len);
	if (strlen(saved->name) != len ||
	    (saved->parent && !decode_is_name(saved->name)))
		return -EBADMSG;
	return 0;
}

/*
 * The numbers of a file system may change when the host starts again; that of
 * the share is taken as what it is now.
 */
static uint64_t map_dev(const struct restore *re, uint64_t dev)
{
	return dev == re->root.dev ? re->server->inodes.root->key.dev : dev;
}

static int add_inode(const struct restore *re, struct saved_inode *saved)
{
	const struct inode_key *key = &saved->key;
	bool known = !re->copied && (key->dev || key->ino || key->birth_ns);
	struct inode *inode;
	int r;

	if (saved->id <= FUSE_ROOT_ID || saved->id >= re->next_inode)
		return -EBADMSG;
	saved->key.dev = map_dev(re, saved->key.dev);
	r = inode_add_saved(&re->server->inodes, saved->id, key, known,
			    saved->lookups, &inode);
	return r == -EEXIST ? -EBADMSG : r;
}

static int place_inode(const struct restore *re, const struct saved_inode *s)
{
	struct inode_table *t = &re->server->inodes;
	struct inode *inode, *parent;
	int r = -EBADMSG;

	if (!s->parent)
		return 0;
	inode = inode_get(t, s->id);
	parent = inode_get(t, s->parent);
	if (parent && parent->key.type == S_IFDIR)
		r = inode_place_saved(t, inode, parent, s->name);
	if (parent)
		inode_put(t, parent);
	inode_put(t, inode);
	return r == -ELOOP || r == -EEXIST ? -EBADMSG : r;
}

/* Puts the reference that add_inode() has left. */
static void put_added(const struct restore *re, const struct saved_inode *s)
{
	struct inode_table *t = &re->server->inodes;
	struct inode *inode = inode_get(t, s->id);

	inode_put(t, inode);
	inode_put(t, inode);
}

/* Goes through the inodes again, from where the reader was at @first. */
static int each_inode(struct restore *re, struct snap_reader first,
		      uint32_t count, bool place)
{
	struct saved_inode saved;
	int r = 0;

	for (uint32_t i = 0; i < count && r == 0; i++) {
		r = get_inode(&first, &saved);
		if (r == 0 && place)
			r = place_inode(re, &saved);
		else if (r == 0)
			put_added(re, &saved);
	}
	return r;
}

static int get_handle(struct restore *re)
{
	struct fs_server *server = re->server;
	uint64_t id = snap_get_u64(re->r), inode_id = snap_get_u64(re->r), out;
	uint32_t saved = snap_get_u32(re->r);
	int flags = (int)saved & (O_ACCMODE | O_DSYNC | O_SYNC);
	struct inode *inode;
	int r = -EBADMSG;

	if (re->r->error || !id || id >= re->next_handle)
		return -EBADMSG;
	inode = inode_get(&server->inodes, inode_id);
	if (!inode)
		return -EBADMSG;
	if (inode->key.type == S_IFDIR)
		flags = O_RDONLY | O_DIRECTORY;
	else if (server->config.read_only)
		flags = O_RDONLY;
	if (inode->key.type == S_IFDIR || inode->key.type == S_IFREG)
		r = handle_add(&server->handles, id, inode, flags, -1, &out);
	inode_put(&server->inodes, inode);
	return r == -EEXIST ? -EBADMSG : r;
}

static int get_tables(struct restore *re)
{
	uint32_t count = snap_get_u32(re->r), handles;
	struct snap_reader first = *re->r;
	struct saved_inode saved;
	int r = 0;

	for (uint32_t i = 0; i < count && r == 0; i++) {
		r = get_inode(re->r, &saved);
		if (r == 0)
			r = add_inode(re, &saved);
	}
	if (r == 0)
		r = each_inode(re, first, count, true);
	if (r == 0 && inode_has_ring(&re->server->inodes))
		r = -EBADMSG;
	handles = snap_get_u32(re->r);
	for (uint32_t i = 0; i < handles && r == 0; i++)
		r = get_handle(re);
	/* What nothing refers to disappears with the last reference. */
	if (r == 0)
		r = each_inode(re, first, count, false);
	return r;
}

/* Whether the directory is the one that was saved; another needs @relocated. */
static int check_root(struct restore *re, bool relocated)
{
	const struct inode_key *now = &re->server->inodes.root->key;

	re->copied =
		now->ino != re->root.ino || now->birth_ns != re->root.birth_ns;
	if (re->copied && !relocated)
		return log_fail(ESTALE,
				"share %s: not the directory that the guest "
				"had when it was saved",
				re->server->config.path);
	return 0;
}

/* Ids from these on are new, and there are enough of them. */
static bool are_next_ids(uint64_t inode, uint64_t handle)
{
	const uint64_t max = UINT64_MAX / 2;

	return inode > FUSE_ROOT_ID && inode <= max && handle && handle <= max;
}

int fs_restore(struct fs_server *server, struct snap_reader *r, bool relocated)
{
	struct restore re = { .server = server, .r = r };
	uint32_t version = snap_get_u32(r);
	uint64_t session = snap_get_u64(r);
	int err;

	re.next_inode = snap_get_u64(r);
	re.next_handle = snap_get_u64(r);
	get_key(r, &re.root);
	if (r->error || version != RECORD_VERSION ||
	    !are_next_ids(re.next_inode, re.next_handle))
		return -EBADMSG;
	err = check_root(&re, relocated);
	if (err == 0)
		err = get_tables(&re);
	if (err == -ENFILE || err == -ENOMEM)
		return log_errno(-err, "share %s: restore",
				 server->config.path);
	if (err < 0 || r->error)
		return err < 0 ? err : -EBADMSG;
	server->inodes.next_id = re.next_inode;
	server->handles.next_id = re.next_handle;
	atomic_store(&server->session, session);
	return 0;
}
