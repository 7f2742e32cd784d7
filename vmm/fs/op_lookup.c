// SPDX-License-Identifier: BSD-2-Clause
/* Names to inodes, and inodes that the guest forgets. */
#include <errno.h>

#include "vmm/fs/attr.h"
#include "vmm/fs/ops.h"
#include "vmm/fs/reach.h"

ssize_t op_lookup(struct request *rq)
{
	struct node dir CLEANUP_NODE = { 0 }, child CLEANUP_NODE = { 0 };
	struct fuse_entry_out entry = { 0 };
	struct statx stx;
	const char *name;
	int r = args_name(&rq->args, &name);

	if (r == 0)
		r = node_open(&dir, rq->server, rq->head.nodeid);
	if (r == 0)
		r = reach_child(&dir, name, &child, &stx);
	if (r == 0)
		attr_entry(rq->server, child.inode->id, &stx, &entry);
	else if (r == -ENOENT && rq->server->config.cache == FS_CACHE_ALWAYS)
		/* Node id 0: the guest may remember that there is none. */
		entry.entry_valid = attr_valid_s(rq->server);
	else
		return r;
	return request_reply(rq, &entry, sizeof(entry));
}

ssize_t op_forget(struct request *rq)
{
	const struct fuse_forget_in *in = args_take(&rq->args, sizeof(*in));

	inode_forget(&rq->server->inodes, rq->head.nodeid, in->nlookup);
	return 0;
}

ssize_t op_batch_forget(struct request *rq)
{
	const struct fuse_batch_forget_in *in =
		args_take(&rq->args, sizeof(*in));
	const struct fuse_forget_one *one;

	for (uint32_t i = 0; i < in->count; i++) {
		one = args_take(&rq->args, sizeof(*one));
		if (!one)
			return -EINVAL;
		inode_forget(&rq->server->inodes, one->nodeid, one->nlookup);
	}
	return 0;
}
