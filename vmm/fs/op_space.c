// SPDX-License-Identifier: BSD-2-Clause
/* Space: how much there is, where a file has it, and copies by the host. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/fs/ops.h"
#include "vmm/fs/reach.h"

/* A request copies no more, so that pausing need not wait for long. */
#define COPY_BYTES_MAX (128 * MIB)

ssize_t op_statfs(struct request *rq)
{
	struct node node CLEANUP_NODE = { 0 };
	struct fuse_statfs_out out = { 0 };
	struct statvfs v;
	int r = node_open(&node, rq->server, rq->head.nodeid);

	if (r < 0)
		return r;
	if (fstatvfs(node.fd, &v) < 0)
		return -errno;
	out.st.blocks = v.f_blocks;
	out.st.bfree = v.f_bfree;
	out.st.bavail = v.f_bavail;
	out.st.files = v.f_files;
	out.st.ffree = v.f_ffree;
	out.st.bsize = (uint32_t)v.f_bsize;
	out.st.namelen = (uint32_t)v.f_namemax;
	out.st.frsize = (uint32_t)v.f_frsize;
	return request_reply(rq, &out, sizeof(out));
}

#define FALLOCATE_MODES \
	(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)

ssize_t op_fallocate(struct request *rq)
{
	const struct fuse_fallocate_in *in = args_take(&rq->args, sizeof(*in));
	struct opened file CLEANUP_OPENED = { 0 };
	int r = opened_get(&file, rq->server, in->fh, rq->head.nodeid, S_IFREG);

	if (r < 0)
		return r;
	if (in->mode & ~FALLOCATE_MODES)
		return -EOPNOTSUPP;
	if (in->offset > INT64_MAX || in->length > INT64_MAX)
		return -EFBIG;
	creds_drop_fsetid_of(&rq->server->creds, rq->head.uid);
	r = fallocate(file.fd, (int)in->mode, (off_t)in->offset,
		      (off_t)in->length);
	creds_raise_fsetid(&rq->server->creds);
	return r < 0 ? -errno : 0;
}

/* The guest seeks to data and holes here; other positions are its own. */
ssize_t op_lseek(struct request *rq)
{
	const struct fuse_lseek_in *in = args_take(&rq->args, sizeof(*in));
	struct opened file CLEANUP_OPENED = { 0 };
	struct fuse_lseek_out out = { 0 };
	off_t offset;
	int r = opened_get(&file, rq->server, in->fh, rq->head.nodeid, S_IFREG);

	if (r < 0)
		return r;
	if (in->whence != SEEK_DATA && in->whence != SEEK_HOLE)
		return -EINVAL;
	if (in->offset > INT64_MAX)
		return -EINVAL;
	offset = lseek(file.fd, (off_t)in->offset, (int)in->whence);
	if (offset < 0)
		return -errno;
	out.offset = (uint64_t)offset;
	return request_reply(rq, &out, sizeof(out));
}

ssize_t op_copy_file_range(struct request *rq)
{
	const struct fuse_copy_file_range_in *in =
		args_take(&rq->args, sizeof(*in));
	struct opened from CLEANUP_OPENED = { 0 }, to CLEANUP_OPENED = { 0 };
	struct fuse_write_out out = { 0 };
	off_t from_offset = (off_t)in->off_in, to_offset = (off_t)in->off_out;
	ssize_t n = opened_get(&from, rq->server, in->fh_in, rq->head.nodeid,
			       S_IFREG);

	if (n == 0)
		n = opened_get(&to, rq->server, in->fh_out, in->nodeid_out,
			       S_IFREG);
	if (n < 0)
		return n;
	if (in->flags || from_offset < 0 || to_offset < 0)
		return -EINVAL;
	creds_drop_fsetid_of(&rq->server->creds, rq->head.uid);
	n = copy_file_range(from.fd, &from_offset, to.fd, &to_offset,
			    min_u64(in->len, COPY_BYTES_MAX), 0);
	creds_raise_fsetid(&rq->server->creds);
	if (n < 0)
		return -errno;
	out.size = (uint32_t)n;
	return request_reply(rq, &out, sizeof(out));
}

/* syncfs(2) needs a descriptor that is open for more than O_PATH. */
ssize_t op_syncfs(struct request *rq)
{
	struct node node CLEANUP_NODE = { 0 };
	int fd, r = node_open(&node, rq->server, rq->head.nodeid);

	if (r < 0)
		return r;
	fd = reach_open(&node, O_RDONLY);
	if (fd < 0)
		return fd;
	r = syncfs(fd) < 0 ? -errno : 0;
	reach_close(rq->server, fd);
	return r;
}
