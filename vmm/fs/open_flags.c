// SPDX-License-Identifier: BSD-2-Clause
/* See the header. */
#include "vmm/fs/open_flags.h"

#include <fcntl.h>

#include "vmm/base/clock.h"

int open_flags_host(struct fs_server *server, uint32_t guest_flags)
{
	int flags = (int)guest_flags & (O_ACCMODE | O_DSYNC | O_SYNC);

	/* The writeback cache reads the rest of a page before it writes it. */
	if ((flags & O_ACCMODE) == O_WRONLY &&
	    server_has(server, FUSE_WRITEBACK_CACHE))
		flags = (flags & ~O_ACCMODE) | O_RDWR;
	return flags;
}

static uint64_t stamp_ns(const struct statx_timestamp *t)
{
	return (uint64_t)t->tv_sec * NS_PER_S + t->tv_nsec;
}

bool open_flags_note(struct fs_server *server, struct inode *inode,
		     const struct statx *stx)
{
	struct inode_version version = { stx->stx_size,
					 stamp_ns(&stx->stx_mtime),
					 stamp_ns(&stx->stx_ctime) };

	return inode_version_is(&server->inodes, inode, &version);
}

uint32_t open_flags_reply(struct fs_server *server, struct inode *inode,
			  int flags, const struct statx *stx)
{
	/* Nothing was written, so there is nothing to flush at close(2). */
	uint32_t reply = (flags & O_ACCMODE) == O_RDONLY ? FS_OPEN_NOFLUSH : 0;

	switch (server->config.cache) {
	case FS_CACHE_ALWAYS:
		return reply | FOPEN_KEEP_CACHE;
	case FS_CACHE_NEVER:
		return reply | FOPEN_DIRECT_IO | FS_OPEN_PARALLEL_DIRECT_WRITES;
	default:
		return reply |
		       (open_flags_note(server, inode, stx) ? FOPEN_KEEP_CACHE :
							      0);
	}
}
