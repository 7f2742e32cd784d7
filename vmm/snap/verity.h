/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fs-verity (Documentation/filesystems/fsverity.rst) for the file `memory`: the
 * kernel makes it read-only for good, and checks each block that it reads
 * against a tree of hashes. A read of a block that does not match fails with EIO,
 * an access to a mapping of it with SIGBUS. For this room only.
 */
#ifndef VMM_SNAP_VERITY_H
#define VMM_SNAP_VERITY_H

#include <stdbool.h>

/*
 * Enables it for `memory` in the directory @dir, which @path names in messages,
 * and syncs its hashes. The file is complete and open for writing nowhere; all
 * of it is read. -ENOTTY: the file system or the kernel lacks fs-verity; -errno.
 * Logged.
 */
int snap_verity_enable(int dir, const char *path);

/*
 * Tries that with a `memory` of one byte, which it creates and removes, so that
 * a file system without fs-verity is found before guest memory is written.
 */
int snap_verity_probe(int dir, const char *path);

/* Silent. False, too, before Linux 5.5, where statx(2) does not tell. */
bool snap_verity_is_enabled(int fd);

#endif
