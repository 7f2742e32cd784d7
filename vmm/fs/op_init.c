// SPDX-License-Identifier: BSD-2-Clause
/*
 * The session: what the guest and the server agree on, and its end.
 *
 * Not offered, and why:
 *	FUSE_POSIX_LOCKS, FUSE_FLOCK_LOCKS	locks stay in the guest, so that no
 *		request waits for another one and a snapshot has none to save
 *	FUSE_EXPORT_SUPPORT	it looks up ".."
 *	FUSE_SUBMOUNTS		mounts in the share are crossed (fs.h)
 *	FUSE_HANDLE_KILLPRIV	version 2 says which writes clear the bits
 *
 * FUSE_HANDLE_KILLPRIV_V2: the host's kernel clears set-user-id bits and file
 * capabilities at each write of a user without CAP_FSETID.  The server drops that
 * capability where the guest's flag asks for it; without privileges it never has
 * it, and the bits are cleared by each write, also one of the guest's root.
 * FALLOCATE and COPY_FILE_RANGE have no such flag: there it is dropped for
 * callers other than root.
 *
 * FUSE_POSIX_ACL, in the pass model: see "Extended attributes" in fs.h.
 * FUSE_SETXATTR_EXT belongs to it.
 */
#include <errno.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/fs/ops.h"
#include "vmm/fs/session.h"

/* The oldest minor version: the first that virtio-fs drivers speak. */
#define MINOR_MIN 31
#define MINOR	  38

#define OFFERED                                                         \
	(FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES |      \
	 FUSE_DONT_MASK | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | \
	 FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES |       \
	 FUSE_HANDLE_KILLPRIV_V2 | FS_INIT_EXT)

/* Background requests that the guest has at most, and its threshold. */
#define BACKGROUND_MAX	     64
#define CONGESTION_THRESHOLD 48

static uint64_t offered_of(const struct fs_server *server)
{
	uint64_t flags = OFFERED;

	if (!server->creds.single)
		flags |= FUSE_POSIX_ACL | FUSE_SETXATTR_EXT;
	switch (server->config.cache) {
	case FS_CACHE_ALWAYS:
		return flags | FUSE_WRITEBACK_CACHE | FUSE_CACHE_SYMLINKS;
	case FS_CACHE_NEVER:
		return flags | FS_DIRECT_IO_ALLOW_MMAP;
	default:
		return flags | FUSE_AUTO_INVAL_DATA;
	}
}

/* The guest's flags; the upper half counts only with FS_INIT_EXT. */
static uint64_t guest_flags(struct request *rq, const struct fuse_init_in *in)
{
	uint64_t flags = in->flags;

	if (flags & FS_INIT_EXT && rq->args.len >= FS_INIT_IN_EXT_BYTES)
		flags |= (uint64_t)in->flags2 << 32;
	return flags;
}

ssize_t op_init(struct request *rq)
{
	/* Longer than what args_take() checks; guest_flags() looks again. */
	const struct fuse_init_in *in = args_take(&rq->args, FS_INIT_IN_BYTES);
	struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION,
				     .minor = MINOR };
	uint64_t flags;

	/* The guest sends another INIT with this major version. */
	if (in->major > FUSE_KERNEL_VERSION)
		return request_reply(rq, &out, sizeof(out));
	if (in->major < FUSE_KERNEL_VERSION || in->minor < MINOR_MIN)
		return -EPROTO;
	flags = guest_flags(rq, in) & offered_of(rq->server);
	session_begin(rq->server, flags);
	out.max_readahead = in->max_readahead;
	out.flags = (uint32_t)flags;
	out.flags2 = (uint32_t)(flags >> 32);
	out.max_background = BACKGROUND_MAX;
	out.congestion_threshold = CONGESTION_THRESHOLD;
	out.max_write = FS_IO_BYTES_MAX;
	out.time_gran = 1;
	out.max_pages = FS_IO_BYTES_MAX / PAGE_BYTES;
	return request_reply(rq, &out, sizeof(out));
}

ssize_t op_destroy(struct request *rq)
{
	session_end(rq->server);
	return 0;
}

/* One that has not begun, or is complete, is not interrupted. */
ssize_t op_interrupt(struct request *rq)
{
	const struct fuse_interrupt_in *in = args_take(&rq->args, sizeof(*in));

	running_interrupt(&rq->server->running, in->unique);
	return 0;
}
