// SPDX-License-Identifier: BSD-2-Clause
/* Removes and renames. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "vmm/fs/ops.h"
#include "vmm/fs/reach.h"

static ssize_t remove_name(struct request *rq, int flags)
{
	struct node dir CLEANUP_NODE = { 0 };
	const char *name;
	int r = args_name(&rq->args, &name);

	if (r == 0)
		r = node_open(&dir, rq->server, rq->head.nodeid);
	if (r < 0)
		return r;
	reach_handles(&dir, name);
	if (unlinkat(dir.fd, name, flags) < 0)
		return -errno;
	inode_place_removed(&rq->server->inodes, dir.inode, name);
	return 0;
}

ssize_t op_unlink(struct request *rq)
{
	return remove_name(rq, 0);
}

ssize_t op_rmdir(struct request *rq)
{
	return remove_name(rq, AT_REMOVEDIR);
}

static ssize_t rename_name(struct request *rq, uint64_t new_dir,
			   unsigned int flags)
{
	struct node from CLEANUP_NODE = { 0 }, to CLEANUP_NODE = { 0 };
	const char *old_name, *new_name = "";
	int r = args_name(&rq->args, &old_name);

	if (r == 0)
		r = args_name(&rq->args, &new_name);
	if (r == 0 && flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE))
		r = -EINVAL;
	if (r == 0)
		r = node_open(&from, rq->server, rq->head.nodeid);
	if (r == 0)
		r = node_open(&to, rq->server, new_dir);
	if (r < 0)
		return r;
	if (!flags)
		reach_handles(&to, new_name);
	if (renameat2(from.fd, old_name, to.fd, new_name, flags) < 0)
		return -errno;
	inode_place_moved(&rq->server->inodes, from.inode, old_name, to.inode,
			  new_name, flags & RENAME_EXCHANGE);
	return 0;
}

ssize_t op_rename(struct request *rq)
{
	const struct fuse_rename_in *in = args_take(&rq->args, sizeof(*in));

	return rename_name(rq, in->newdir, 0);
}

ssize_t op_rename2(struct request *rq)
{
	const struct fuse_rename2_in *in = args_take(&rq->args, sizeof(*in));

	return rename_name(rq, in->newdir, in->flags);
}
