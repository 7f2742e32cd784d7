/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fields of a request.  They are copied out of guest memory once, after
 * their bounds are checked, so that nothing the guest changes later changes what
 * was checked.
 */
#ifndef VMM_FS_DECODE_H
#define VMM_FS_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/fs/span.h"
#include "vmm/fs/uapi.h"

/* The longest arguments: 64 KiB of an extended attribute, its name, a header. */
#define DECODE_ARGS_MAX (72 * 1024)

/* The arguments of a request, used up from the front. */
struct args {
	uint8_t *data; /* owned; aligned for any struct of the protocol */
	size_t at, len;
};

/*
 * Reads the header off @in and limits @in to the length that it states.  -EINVAL
 * for a length that is no header's or that the buffers do not have.
 */
int decode_header(struct span *in, struct fuse_in_header *head);

/*
 * Reads the arguments off @in: all of it, or the first @fixed bytes where data
 * follows.  -EINVAL for less than @min bytes, -E2BIG for too many, -ENOMEM.
 * args_finish() frees.
 */
int decode_args(struct span *in, struct args *args, size_t min, size_t fixed);
void args_finish(struct args *args);

/* The next @len bytes, a multiple of 8; NULL when there are fewer. */
const void *args_take(struct args *args, size_t len);

/* The next bytes up to and without a NUL, @max at most.  -EINVAL, -ENAMETOOLONG. */
int args_string(struct args *args, size_t max, const char **string);

/* The same for a name in a directory, at most 255 bytes. */
int args_name(struct args *args, const char **name);

/* Whether a name is one component: not empty, "." or "..", no '/'. */
bool decode_is_name(const char *name);

#endif
