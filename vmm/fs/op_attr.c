// SPDX-License-Identifier: BSD-2-Clause
/* Attributes: read, changed, and what a user may do with a file. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/clock.h"
#include "vmm/fs/attr.h"
#include "vmm/fs/ops.h"
#include "vmm/fs/reach.h"

static ssize_t reply_attr(struct request *rq, int fd)
{
	struct fuse_attr_out out = { .attr_valid = attr_valid_s(rq->server) };
	struct statx stx;
	int r = reach_stat(fd, &stx);

	if (r < 0)
		return r;
	attr_fill(rq->server, &stx, &out.attr);
	return request_reply(rq, &out, sizeof(out));
}

ssize_t op_getattr(struct request *rq)
{
	const struct fuse_getattr_in *in = args_take(&rq->args, sizeof(*in));
	struct opened file CLEANUP_OPENED = { 0 };
	struct node node CLEANUP_NODE = { 0 };
	int r;

	if (in->getattr_flags & FUSE_GETATTR_FH)
		r = opened_get(&file, rq->server, in->fh, rq->head.nodeid, 0);
	else
		r = node_open(&node, rq->server, rq->head.nodeid);
	if (r < 0)
		return r;
	return reply_attr(rq, file.server ? file.fd : node.fd);
}

/* Symbolic links have no mode of their own. */
static int set_mode(const struct node *node, const struct fuse_setattr_in *in)
{
	if (node->inode->key.type == S_IFLNK)
		return -EOPNOTSUPP;
	return fchmodat(node->server->proc_fd, reach_name(node->fd).text,
			in->mode & 07777, 0) < 0 ?
		       -errno :
		       0;
}

static int set_owner(const struct node *node, const struct fuse_setattr_in *in)
{
	uid_t uid = in->valid & FATTR_UID ? in->uid : (uid_t)-1;
	gid_t gid = in->valid & FATTR_GID ? in->gid : (gid_t)-1;
	int r = creds_host_ids(&node->server->creds, &uid, &gid);

	if (r < 0)
		return r;
	/* Without ids it still clears set-user-id bits, as chown(2) does. */
	return fchownat(node->fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

/* By the guest's handle, if any: it may be writable although the mode is not. */
static int set_size(const struct node *node, const struct fuse_setattr_in *in)
{
	struct opened file CLEANUP_OPENED = { 0 };
	int fd = -1, r;

	if (node->inode->key.type != S_IFREG)
		return node->inode->key.type == S_IFDIR ? -EISDIR : -EINVAL;
	if (in->size > INT64_MAX)
		return -EFBIG;
	if (in->valid & FATTR_FH) {
		r = opened_get(&file, node->server, in->fh, node->inode->id,
			       S_IFREG);
		if (r < 0)
			return r;
	}
	if (in->valid & FATTR_KILL_SUIDGID)
		creds_drop_fsetid(&node->server->creds);
	if (file.server && (file.handle->flags & O_ACCMODE) != O_RDONLY)
		r = ftruncate(file.fd, (off_t)in->size) < 0 ? -errno : 0;
	else
		r = fd = reach_open(node, O_WRONLY);
	if (fd >= 0)
		r = ftruncate(fd, (off_t)in->size) < 0 ? -errno : 0;
	if (in->valid & FATTR_KILL_SUIDGID)
		creds_raise_fsetid(&node->server->creds);
	reach_close(node->server, fd);
	return r;
}

/* One time of the two; times of the guest's are in seconds and nanoseconds. */
static int get_time(const struct fuse_setattr_in *in, uint32_t set,
		    uint32_t now, uint64_t s, uint32_t ns, struct timespec *t)
{
	t->tv_sec = (time_t)s;
	t->tv_nsec = ns;
	if (in->valid & now)
		t->tv_nsec = UTIME_NOW;
	else if (!(in->valid & set))
		t->tv_nsec = UTIME_OMIT;
	else if (ns >= NS_PER_S)
		return -EINVAL;
	return 0;
}

static int set_times(const struct node *node, const struct fuse_setattr_in *in)
{
	struct timespec t[2];

	if (get_time(in, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec,
		     &t[0]) < 0 ||
	    get_time(in, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec,
		     &t[1]) < 0)
		return -EINVAL;
	return utimensat(node->server->proc_fd, reach_name(node->fd).text, t,
			 0) < 0 ?
		       -errno :
		       0;
}

#define FATTR_TIMES \
	(FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW)

/* The owner comes before the mode, as a change of it clears bits of the mode. */
ssize_t op_setattr(struct request *rq)
{
	const struct fuse_setattr_in *in = args_take(&rq->args, sizeof(*in));
	struct node node CLEANUP_NODE = { 0 };
	int r = node_open(&node, rq->server, rq->head.nodeid);

	if (r == 0 && in->valid & (FATTR_UID | FATTR_GID))
		r = set_owner(&node, in);
	if (r == 0 && in->valid & FATTR_MODE)
		r = set_mode(&node, in);
	if (r == 0 && in->valid & FATTR_SIZE)
		r = set_size(&node, in);
	if (r == 0 && in->valid & FATTR_TIMES)
		r = set_times(&node, in);
	return r < 0 ? r : reply_attr(rq, node.fd);
}

ssize_t op_access(struct request *rq)
{
	const struct fuse_access_in *in = args_take(&rq->args, sizeof(*in));
	const struct creds *creds = &rq->server->creds;
	struct node node CLEANUP_NODE = { 0 };
	int mask = (int)in->mask & (R_OK | W_OK | X_OK);
	int r = node_open(&node, rq->server, rq->head.nodeid);

	if (r < 0)
		return r;
	if (mask & W_OK && rq->server->config.read_only)
		return -EROFS;
	/* The mode that a symbolic link shows allows everything. */
	if (node.inode->key.type == S_IFLNK)
		return 0;
	r = creds_enter_caller(creds, rq->head.uid, rq->head.gid);
	if (r < 0)
		return r;
	r = faccessat(rq->server->proc_fd, reach_name(node.fd).text, mask,
		      AT_EACCESS) < 0 ?
		    -errno :
		    0;
	creds_leave(creds);
	return r;
}
