// SPDX-License-Identifier: BSD-2-Clause
/* Handles: opened, flushed, released. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/fs/open_flags.h"
#include "vmm/fs/ops.h"
#include "vmm/fs/reach.h"

/* Adds a handle for @fd, which it takes, and replies with it. */
static ssize_t reply_open(struct request *rq, const struct node *node, int fd,
			  int flags, uint32_t reply_flags)
{
	struct fuse_open_out out = { .open_flags = reply_flags };
	int r = handle_add(&rq->server->handles, 0, node->inode, flags, fd,
			   &out.fh);

	if (r < 0) {
		reach_close(rq->server, fd);
		return r;
	}
	return request_reply(rq, &out, sizeof(out));
}

/*
 * Opens with the host's flags.  The writeback cache needs to read as well; if
 * the host permits only writing, the file is opened for writing alone.
 */
static int open_file(const struct node *node, uint32_t guest_flags, int *flags)
{
	int once = (int)guest_flags & O_TRUNC;
	int fd = reach_open(node, *flags | once);

	if (fd == -EACCES && (guest_flags & O_ACCMODE) == O_WRONLY &&
	    (*flags & O_ACCMODE) == O_RDWR) {
		*flags = (*flags & ~O_ACCMODE) | O_WRONLY;
		fd = reach_open(node, *flags | once);
	}
	return fd;
}

ssize_t op_open(struct request *rq)
{
	const struct fuse_open_in *in = args_take(&rq->args, sizeof(*in));
	const struct creds *creds = &rq->server->creds;
	int flags = open_flags_host(rq->server, in->flags);
	struct node node CLEANUP_NODE = { 0 };
	struct statx stx;
	int fd, r;

	if (rq->server->config.read_only &&
	    ((flags & O_ACCMODE) != O_RDONLY || in->flags & O_TRUNC))
		return -EROFS;
	r = node_open(&node, rq->server, rq->head.nodeid);
	if (r < 0)
		return r;
	if (node.inode->key.type == S_IFDIR)
		return -EISDIR;
	if (in->open_flags & FUSE_OPEN_KILL_SUIDGID)
		creds_drop_fsetid(creds);
	fd = open_file(&node, in->flags, &flags);
	if (in->open_flags & FUSE_OPEN_KILL_SUIDGID)
		creds_raise_fsetid(creds);
	if (fd < 0)
		return fd;
	r = reach_stat(fd, &stx);
	if (r < 0) {
		reach_close(rq->server, fd);
		return r;
	}
	return reply_open(rq, &node, fd, flags,
			  open_flags_reply(rq->server, node.inode, flags,
					   &stx));
}

ssize_t op_opendir(struct request *rq)
{
	struct node node CLEANUP_NODE = { 0 };
	uint32_t flags = 0;
	int fd, r = node_open(&node, rq->server, rq->head.nodeid);

	if (r < 0)
		return r;
	fd = reach_open(&node, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	if (rq->server->config.cache == FS_CACHE_ALWAYS)
		flags = FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE;
	return reply_open(rq, &node, fd, O_RDONLY | O_DIRECTORY, flags);
}

/* After the guest has written, its cache is what the file is. */
static void note_written(struct request *rq, uint64_t handle_id)
{
	struct handle_table *t = &rq->server->handles;
	struct handle *handle = NULL;
	struct statx stx;
	int fd;

	if (rq->server->config.cache == FS_CACHE_AUTO)
		handle = handle_get(t, handle_id);
	if (!handle)
		return;
	/* One that was restored and never used has not written. */
	fd = handle_fd(t, handle);
	if (fd >= 0 && handle->inode->id == rq->head.nodeid &&
	    (handle->flags & O_ACCMODE) != O_RDONLY &&
	    reach_stat(fd, &stx) == 0)
		open_flags_note(rq->server, handle->inode, &stx);
	handle_put(t, handle);
}

ssize_t op_release(struct request *rq)
{
	const struct fuse_release_in *in = args_take(&rq->args, sizeof(*in));

	note_written(rq, in->fh);
	return handle_release(&rq->server->handles, in->fh, rq->head.nodeid) ?
		       0 :
		       -EBADF;
}

/* A network file system reports at close(2) what it could not write. */
ssize_t op_flush(struct request *rq)
{
	const struct fuse_flush_in *in = args_take(&rq->args, sizeof(*in));
	struct opened file CLEANUP_OPENED = { 0 };
	int copy, r = opened_get(&file, rq->server, in->fh, rq->head.nodeid,
				 S_IFREG);

	if (r < 0)
		return r;
	if ((file.handle->flags & O_ACCMODE) == O_RDONLY)
		return 0;
	copy = fcntl(file.fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return -errno;
	return close(copy) < 0 ? -errno : 0;
}

static ssize_t sync_handle(struct request *rq, uint32_t type)
{
	const struct fuse_fsync_in *in = args_take(&rq->args, sizeof(*in));
	struct opened file CLEANUP_OPENED = { 0 };
	int r = opened_get(&file, rq->server, in->fh, rq->head.nodeid, type);

	if (r < 0)
		return r;
	if (in->fsync_flags & FUSE_FSYNC_FDATASYNC)
		r = fdatasync(file.fd);
	else
		r = fsync(file.fd);
	return r < 0 ? -errno : 0;
}

ssize_t op_fsync(struct request *rq)
{
	return sync_handle(rq, S_IFREG);
}

ssize_t op_fsyncdir(struct request *rq)
{
	return sync_handle(rq, S_IFDIR);
}
