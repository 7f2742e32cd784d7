// SPDX-License-Identifier: BSD-2-Clause
/*
 * See the header.  Any thread; the list of file systems has a lock, and its
 * entries do not change.
 */
#include "vmm/fs/attr.h"

#include <string.h>
#include <sys/sysmacros.h>

/* A day: longer than any cache of a guest matters. */
#define ALWAYS_S 86400

/* Bits of an inode number that its file system has; the others are its index. */
#define INO_BITS 48

uint64_t attr_valid_s(const struct fs_server *server)
{
	switch (server->config.cache) {
	case FS_CACHE_ALWAYS:
		return ALWAYS_S;
	case FS_CACHE_AUTO:
		return 1;
	default:
		return 0;
	}
}

/* The index of a file system; the last one stands for all that are too many. */
static unsigned int dev_index(struct fs_server *server, uint64_t dev)
{
	unsigned int i;

	pthread_mutex_lock(&server->devs_lock);
	for (i = 0; i < server->dev_count && server->devs[i] != dev; i++)
		;
	if (i == server->dev_count && i < SERVER_DEVS_MAX)
		server->devs[server->dev_count++] = dev;
	pthread_mutex_unlock(&server->devs_lock);
	return i;
}

uint64_t attr_ino(struct fs_server *server, uint64_t dev, uint64_t ino)
{
	/* The share's own, which is constant, needs no lock. */
	if (dev == server->devs[0])
		return ino;
	return ino ^ (uint64_t)dev_index(server, dev) << INO_BITS;
}

void attr_fill(struct fs_server *server, const struct statx *stx,
	       struct fuse_attr *attr)
{
	memset(attr, 0, sizeof(*attr));
	attr->ino = attr_ino(server,
			     makedev(stx->stx_dev_major, stx->stx_dev_minor),
			     stx->stx_ino);
	attr->size = stx->stx_size;
	attr->blocks = stx->stx_blocks;
	attr->atime = (uint64_t)stx->stx_atime.tv_sec;
	attr->mtime = (uint64_t)stx->stx_mtime.tv_sec;
	attr->ctime = (uint64_t)stx->stx_ctime.tv_sec;
	attr->atimensec = stx->stx_atime.tv_nsec;
	attr->mtimensec = stx->stx_mtime.tv_nsec;
	attr->ctimensec = stx->stx_ctime.tv_nsec;
	attr->mode = stx->stx_mode;
	attr->nlink = stx->stx_nlink;
	attr->uid = creds_guest_uid(&server->creds, stx->stx_uid);
	attr->gid = creds_guest_gid(&server->creds, stx->stx_gid);
	/* The kernel's new_encode_dev(): 12 bits of major, 20 of minor. */
	attr->rdev = (stx->stx_rdev_minor & 0xff) |
		     (stx->stx_rdev_major & 0xfff) << 8 |
		     (stx->stx_rdev_minor & 0xfff00) << 12;
	attr->blksize = stx->stx_blksize;
}

void attr_entry(struct fs_server *server, uint64_t id, const struct statx *stx,
		struct fuse_entry_out *entry)
{
	memset(entry, 0, sizeof(*entry));
	entry->nodeid = id;
	entry->entry_valid = attr_valid_s(server);
	entry->attr_valid = attr_valid_s(server);
	attr_fill(server, stx, &entry->attr);
}
