/* SPDX-License-Identifier: BSD-2-Clause */
/* How files are opened, and what the guest may do with its cache of them. */
#ifndef VMM_FS_OPEN_FLAGS_H
#define VMM_FS_OPEN_FLAGS_H

#include <sys/stat.h>

#include "vmm/fs/server.h"

/*
 * The guest's flags of open(2) as they are used on the host: how it is accessed,
 * and O_SYNC.  O_APPEND is left out, as it is a property of each write: pages of
 * a shared mapping are written at their place.  O_DIRECT is left out, as the
 * host's alignment is not known to the guest.
 */
int open_flags_host(struct fs_server *server, uint32_t guest_flags);

/*
 * fuse_open_out.open_flags for a file with these host flags and attributes.
 * With FS_CACHE_AUTO the guest keeps its pages if the file has not changed since
 * it last opened it or closed it after writing.
 */
uint32_t open_flags_reply(struct fs_server *server, struct inode *inode,
			  int flags, const struct statx *stx);

/* Records that the guest's cache is as the file is now. */
bool open_flags_note(struct fs_server *server, struct inode *inode,
		     const struct statx *stx);

#endif
