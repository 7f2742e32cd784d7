// SPDX-License-Identifier: BSD-2-Clause
/*
 * Contents, between files and guest memory without a copy here.  The kernel
 * touches the memory, which may fault and wait; no lock of thaw is held then.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/fs/ops.h"
#include "vmm/fs/reach.h"

/* One system call of a transfer; @rwf: flags of pwritev2(). */
typedef ssize_t transfer(int fd, const struct iovec *iov, int count,
			 off_t offset, int rwf);

/*
 * Transfers up to @len bytes between a file and @span.  How many, fewer at the
 * file's end; or -errno.  If it fails after its first bytes, it is short, or with
 * @whole an error: the guest takes a short read for the file's end, and a short
 * write of cached pages for a complete one.
 */
static ssize_t transfer_all(struct request *rq, transfer *call, int fd,
			    struct span *span, size_t len, uint64_t offset,
			    int rwf, bool whole)
{
	struct iovec iov[FS_IOV_MAX];
	size_t done = 0;

	if (!range_within(offset, len, INT64_MAX))
		return -EINVAL;
	while (done < len) {
		unsigned int count = span_iov(span, len - done, iov);
		ssize_t n = -1;

		errno = EINTR;
		if (!running_is_interrupted(&rq->running))
			n = call(fd, iov, (int)count, (off_t)(offset + done),
				 rwf);
		if (n < 0)
			return done && !whole ? (ssize_t)done : -errno;
		if (n == 0)
			break;
		span_skip(span, (size_t)n);
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t op_read(struct request *rq)
{
	const struct fuse_read_in *in = args_take(&rq->args, sizeof(*in));
	size_t len =
		min_u64(min_u64(in->size, FS_READ_BYTES_MAX), rq->reply.left);
	struct opened file CLEANUP_OPENED = { 0 };
	int r = opened_get(&file, rq->server, in->fh, rq->head.nodeid, S_IFREG);

	if (r < 0)
		return r;
	return transfer_all(rq, preadv2, file.fd, &rq->reply, len, in->offset,
			    0, true);
}

ssize_t op_write(struct request *rq)
{
	const struct fuse_write_in *in = args_take(&rq->args, sizeof(*in));
	const struct creds *creds = &rq->server->creds;
	struct opened file CLEANUP_OPENED = { 0 };
	struct fuse_write_out out = { 0 };
	bool cached = in->write_flags & FUSE_WRITE_CACHE;
	/* A cached page has its place, whatever the handle says. */
	int rwf =
		in->flags & O_APPEND && !cached &&
				!server_has(rq->server, FUSE_WRITEBACK_CACHE) ?
			RWF_APPEND :
			0;
	ssize_t n;

	if (in->size > FS_IO_BYTES_MAX || in->size > rq->data.left)
		return -EINVAL;
	n = opened_get(&file, rq->server, in->fh, rq->head.nodeid, S_IFREG);
	if (n < 0)
		return n;
	if (in->write_flags & FUSE_WRITE_KILL_SUIDGID)
		creds_drop_fsetid(creds);
	n = transfer_all(rq, pwritev2, file.fd, &rq->data, in->size, in->offset,
			 rwf, cached);
	if (in->write_flags & FUSE_WRITE_KILL_SUIDGID)
		creds_raise_fsetid(creds);
	if (n < 0)
		return n;
	out.size = (uint32_t)n;
	return request_reply(rq, &out, sizeof(out));
}

ssize_t op_readlink(struct request *rq)
{
	struct node node CLEANUP_NODE = { 0 };
	char target[PATH_MAX];
	ssize_t n = node_open(&node, rq->server, rq->head.nodeid);

	if (n < 0)
		return n;
	if (node.inode->key.type != S_IFLNK)
		return -EINVAL;
	n = readlinkat(node.fd, "", target, sizeof(target));
	if (n < 0)
		return -errno;
	return (size_t)n > rq->reply.left ?
		       -ENAMETOOLONG :
		       request_reply(rq, target, (size_t)n);
}
