/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the oldest <linux/fuse.h> and C library that thaw builds with lack
 * (Debian 12: FUSE 7.36 to 7.38, by its update).
 */
#ifndef VMM_FS_UAPI_H
#define VMM_FS_UAPI_H

#include <linux/fuse.h>

/* Opcodes: 7.34 and 7.37. */
#define FS_OP_SYNCFS  50
#define FS_OP_TMPFILE 51

/* Flags of fuse_init_in.flags and flags2: 7.36 and 7.39. */
#define FS_INIT_EXT		(UINT64_C(1) << 30)
#define FS_DIRECT_IO_ALLOW_MMAP (UINT64_C(1) << 36)

/* Flags of fuse_open_out.open_flags: 7.35 and 7.38. */
#define FS_OPEN_NOFLUSH		       (1u << 5)
#define FS_OPEN_PARALLEL_DIRECT_WRITES (1u << 6)

/* The sizes of fuse_init_in before and since 7.36. */
#define FS_INIT_IN_BYTES     16
#define FS_INIT_IN_EXT_BYTES 64

/* pwritev2(): append, since Linux 4.16. */
#ifndef RWF_APPEND
#define RWF_APPEND 0x10
#endif

#endif
