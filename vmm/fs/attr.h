/* SPDX-License-Identifier: BSD-2-Clause */
/* Attributes and directory entries, as the protocol has them. */
#ifndef VMM_FS_ATTR_H
#define VMM_FS_ATTR_H

#include <sys/stat.h>

#include "vmm/fs/server.h"

/* Cache lifetimes in seconds, by the mode. */
uint64_t attr_valid_s(const struct fs_server *server);

/* The number of an inode as the guest sees it: see "Confinement" in fs.h. */
uint64_t attr_ino(struct fs_server *server, uint64_t dev, uint64_t ino);

void attr_fill(struct fs_server *server, const struct statx *stx,
	       struct fuse_attr *attr);
/* A whole entry.  @id 0: an entry without a lookup. */
void attr_entry(struct fs_server *server, uint64_t id, const struct statx *stx,
		struct fuse_entry_out *entry);

#endif
