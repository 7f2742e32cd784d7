// SPDX-License-Identifier: BSD-2-Clause
/*
 * A session as a record, for the section of the device that has the share:
 *
 *	u32 version of this record, u64 flags of INIT, u64 next inode id,
 *	u64 next handle id, key of the root
 *	u32 count, inodes: u64 id, u64 parent's id or 0, key, u64 lookups, blob name
 *	u32 count, handles: u64 id, u64 inode's id, u32 flags
 *
 * A key is u64 device, u64 inode number, u64 time of birth, u32 type; zeros and
 * the type where it is not known, as in a copy that has not been looked at.
 *
 * The caller has seen to it that no request runs.
 */
#include <errno.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/fs/reach.h"
#include "vmm/fs/record.h"
#include "vmm/snap/section.h"

static void put_key(struct snap_writer *w, const struct inode_key *key)
{
	snap_put_u64(w, key->dev);
	snap_put_u64(w, key->ino);
	snap_put_u64(w, key->birth_ns);
	snap_put_u32(w, key->type);
}

static void put_inode(void *ctx, struct inode *inode)
{
	bool has_place = inode->parent && !inode->saved_stale;
	struct inode_key key = { .type = inode->key.type };
	struct snap_writer *w = ctx;

	if (inode->key_is_known)
		key = inode->key;
	inode->saved_stale = false;
	/* More is refused by fs_save(); this keeps memory bounded until then. */
	if (w->len > RECORD_BYTES_MAX)
		return;
	snap_put_u64(w, inode->id);
	snap_put_u64(w, has_place ? inode->parent->id : 0);
	put_key(w, &key);
	snap_put_u64(w, inode->lookups);
	if (has_place)
		snap_put_blob(w, inode->name, strlen(inode->name));
	else
		snap_put_blob(w, "", 0);
}

static int put_handle(void *ctx, const struct handle *handle)
{
	struct snap_writer *w = ctx;

	snap_put_u64(w, handle->id);
	snap_put_u64(w, handle->inode->id);
	snap_put_u32(w, (uint32_t)handle->flags);
	return 0;
}

/* Whether the path of an inode is known to be right, or wrong, in this save. */
static bool is_checked(const struct fs_server *server,
		       const struct inode *inode)
{
	return inode == server->inodes.root ||
	       inode->checked_by == server->saves;
}

/*
 * Whether an inode and all directories above it are where the server saw them.
 * Each is looked at once in a save, however many files are open below it.
 */
static bool has_path(struct fs_server *server, struct inode *inode)
{
	struct inode *at = inode;
	bool found;

	while (!is_checked(server, at) && at->parent &&
	       reach_has_place(server, at))
		at = at->parent;
	found = at == server->inodes.root ||
		(is_checked(server, at) && at->has_path);
	for (;; inode = inode->parent) {
		inode->has_path = found;
		inode->checked_by = server->saves;
		if (inode == at)
			return found;
	}
}

/* How many stale files are named. */
#define STALE_NAMED 20

/* The open files that a restore cannot find. */
struct stale {
	struct fs_server *server;
	bool accept;
	unsigned int count;
};

/* Reports a stale file once, however often it is open. */
static int report_stale(struct stale *s, struct inode *inode)
{
	const char *name = inode->name ? inode->name : "a temporary file";
	const char *share = s->server->label;

	if (!s->accept)
		return log_fail(ESTALE,
				"share %s: %s is open in the guest, and was "
				"deleted or moved; close it, or save with "
				"--accept-stale",
				share, name);
	if (inode->saved_stale)
		return 0;
	inode->saved_stale = true;
	if (s->count++ < STALE_NAMED)
		log_warn("share %s: %s is open in the guest, and was deleted "
			 "or moved: it is stale (ESTALE) after a restore",
			 share, name);
	return 0;
}

/*
 * Looks for an open file that a restore could not find.  One that was not opened
 * since the last restore is stale already, or is found the same way again.
 */
static int check_handle(void *ctx, const struct handle *handle)
{
	struct stale *s = ctx;

	if (handle->fd < 0 || has_path(s->server, handle->inode))
		return 0;
	return report_stale(s, handle->inode);
}

static int check_handles(struct fs_server *server, bool accept_stale)
{
	struct stale stale = { .server = server, .accept = accept_stale };
	int r = handle_for_each(&server->handles, check_handle, &stale);

	if (stale.count > STALE_NAMED)
		log_warn("share %s: %u more files are stale after a restore",
			 server->config.path, stale.count - STALE_NAMED);
	return r;
}

int fs_save(struct fs_server *server, struct snap_writer *w, bool accept_stale)
{
	int r;

	server->saves++;
	r = check_handles(server, accept_stale);
	if (r < 0)
		return r;
	snap_put_u32(w, RECORD_VERSION);
	snap_put_u64(w, server->session);
	snap_put_u64(w, server->inodes.next_id);
	snap_put_u64(w, server->handles.next_id);
	put_key(w, &server->inodes.root->key);
	snap_put_u32(w, (uint32_t)server->inodes.count - 1);
	inode_for_each(&server->inodes, put_inode, w);
	snap_put_u32(w, (uint32_t)server->handles.count);
	handle_for_each(&server->handles, put_handle, w);
	if (w->len > RECORD_BYTES_MAX)
		return log_fail(EFBIG,
				"share %s: the guest holds too many files "
				"(%zu) to save them; in the guest, 'echo 2 "
				">/proc/sys/vm/drop_caches' frees those that "
				"are not in use",
				server->config.path, server->inodes.count);
	return w->error;
}
