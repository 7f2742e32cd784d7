/* SPDX-License-Identifier: BSD-2-Clause */
/* openat2(2), which the C library lacks, for paths that must not lead out. */
#ifndef VMM_BASE_BENEATH_H
#define VMM_BASE_BENEATH_H

#include <linux/openat2.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Opens @path below @dir_fd with RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS and
 * @resolve, close-on-exec.  A lookup that a concurrent rename disturbs is
 * repeated.  The descriptor, or -errno; silent.
 */
int open_beneath(int dir_fd, const char *path, int flags, mode_t mode,
		 uint64_t resolve);

#endif
