// SPDX-License-Identifier: BSD-2-Clause
/*
 * Directories.  Entries are read into memory of our own under the handle's lock,
 * as the descriptor's position is shared, and put into the reply without it.  An
 * offset is what the host's file system gave for the entry before.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/fs/attr.h"
#include "vmm/fs/ops.h"
#include "vmm/fs/reach.h"

/* One READDIR gives no more, whatever the guest has space for. */
#define ENTRIES_BYTES_MAX 65536
#define ENTRIES_BYTES_MIN 1024 /* one entry of the longest name, and more */

/* What getdents64() writes. */
struct host_entry {
	uint64_t ino, next;
	uint16_t len;
	uint8_t type;
	char name[];
};

/* Entries that were read and how to put one. */
struct listing {
	struct request *rq;
	const struct opened *dir;
	uint64_t dev; /* of the directory */
	bool plus;
	size_t left; /* of the size that the guest requested */
};

/* Reads entries from an offset on; how many bytes, 0 at the end. */
static ssize_t read_entries(const struct opened *dir, uint64_t offset, void *to,
			    size_t size)
{
	ssize_t n = -1;

	pthread_mutex_lock(&dir->handle->position_lock);
	if (lseek(dir->fd, (off_t)offset, SEEK_SET) >= 0)
		n = syscall(SYS_getdents64, dir->fd, to, size);
	if (n < 0)
		n = -errno;
	pthread_mutex_unlock(&dir->handle->position_lock);
	return n;
}

static bool is_dot(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* The number of an entry; that of ".." on the host may be outside the share. */
static uint64_t entry_ino(struct listing *l, const struct host_entry *e)
{
	struct inode *inode = l->dir->handle->inode;
	uint64_t ino = e->ino;

	if (!strcmp(e->name, ".."))
		ino = inode_parent_ino(&l->rq->server->inodes, inode);
	return attr_ino(l->rq->server, l->dev, ino);
}

/* Puts an entry, its name and padding; there is space. */
static void put_dirent(struct listing *l, const struct host_entry *e,
		       uint32_t len, size_t size)
{
	struct fuse_dirent d = {
		.ino = entry_ino(l, e),
		.off = e->next,
		.namelen = len,
		.type = e->type,
	};
	static const char zeros[8];

	request_reply(l->rq, &d, FUSE_NAME_OFFSET);
	request_reply(l->rq, e->name, len);
	request_reply(l->rq, zeros, size - FUSE_NAME_OFFSET - len);
}

/* The attributes before an entry of READDIRPLUS, with a lookup where it can be. */
static void put_plus(struct listing *l, const struct host_entry *e)
{
	struct fs_server *server = l->rq->server;
	struct fuse_entry_out entry = { 0 };
	struct statx stx;
	uint64_t id = 0;

	if (!is_dot(e->name))
		id = reach_child_lazily(server, l->dir->handle->inode,
					l->dir->fd, e->name, &stx);
	if (id)
		attr_entry(server, id, &stx, &entry);
	request_reply(l->rq, &entry, sizeof(entry));
}

/* Puts one entry; its size, 0 when there is no space for it. */
static size_t put_entry(struct listing *l, const struct host_entry *e)
{
	uint32_t len = (uint32_t)strlen(e->name);
	size_t size = align_up(FUSE_NAME_OFFSET + len, 8);
	size_t all = size + (l->plus ? sizeof(struct fuse_entry_out) : 0);

	if (all > l->left)
		return 0;
	l->left -= all;
	if (l->plus)
		put_plus(l, e);
	put_dirent(l, e, len, size);
	return all;
}

/* Bytes of entries to read for a reply of @size, so that few are left over. */
static size_t entries_bytes(size_t size, bool plus)
{
	size_t wanted = plus ? size / 4 : size;

	return min_u64(max_u64(wanted, ENTRIES_BYTES_MIN), ENTRIES_BYTES_MAX);
}

static ssize_t list(struct request *rq, bool plus)
{
	const struct fuse_read_in *in = args_take(&rq->args, sizeof(*in));
	size_t size = min_u64(in->size, rq->reply.left), done = 0;
	size_t bytes = entries_bytes(size, plus);
	struct opened dir CLEANUP_OPENED = { 0 };
	struct listing l = { rq, &dir, 0, plus, size };
	char *entries CLEANUP_FREE = malloc(bytes);
	ssize_t n =
		opened_get(&dir, rq->server, in->fh, rq->head.nodeid, S_IFDIR);

	if (n == 0 && !entries)
		n = -ENOMEM;
	if (n == 0)
		n = read_entries(&dir, in->offset, entries, bytes);
	if (n < 0)
		return n;
	l.dev = dir.handle->inode->key.dev;
	for (ssize_t at = 0; at < n;) {
		const struct host_entry *e =
			(const struct host_entry *)(entries + at);
		size_t put = put_entry(&l, e);

		if (!put)
			break;
		done += put;
		at += e->len;
	}
	/* No space for one entry is no end of the directory. */
	return n && !done ? -EINVAL : (ssize_t)done;
}

ssize_t op_readdir(struct request *rq)
{
	return list(rq, false);
}

ssize_t op_readdirplus(struct request *rq)
{
	return list(rq, true);
}
