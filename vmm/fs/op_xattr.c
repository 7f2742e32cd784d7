// SPDX-License-Identifier: BSD-2-Clause
/*
 * Extended attributes of the name user.*; others concern the host.  They are
 * reached by path, as O_PATH descriptors have no such operations: the thread's
 * working directory is /proc/self/fd (fs.h).
 */
#include <errno.h>
#include <limits.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/fs/ops.h"
#include "vmm/fs/reach.h"

#define USER_PREFIX "user."

static bool is_user(const char *name)
{
	return !strncmp(name, USER_PREFIX, strlen(USER_PREFIX)) &&
	       name[strlen(USER_PREFIX)];
}

/* Reads the name and opens the node; symbolic links have no such attributes. */
static int begin(struct request *rq, struct node *node, const char **name)
{
	int r = args_string(&rq->args, XATTR_NAME_MAX, name);

	if (r == -ENAMETOOLONG)
		return -ERANGE;
	if (r == 0 && !is_user(*name))
		r = -EOPNOTSUPP;
	if (r == 0)
		r = node_open(node, rq->server, rq->head.nodeid);
	if (r == 0 && node->inode->key.type == S_IFLNK)
		r = -EPERM;
	return r;
}

/* Replies with a size, or with the value where the guest gave space for it. */
static ssize_t reply_value(struct request *rq, uint32_t space,
			   const void *value, size_t len)
{
	struct fuse_getxattr_out out = { .size = (uint32_t)len };

	if (!space)
		return request_reply(rq, &out, sizeof(out));
	if (len > space)
		return -ERANGE;
	return request_reply(rq, value, len);
}

ssize_t op_getxattr(struct request *rq)
{
	const struct fuse_getxattr_in *in = args_take(&rq->args, sizeof(*in));
	char *value CLEANUP_FREE = malloc(XATTR_SIZE_MAX);
	struct node node CLEANUP_NODE = { 0 };
	const char *name;
	ssize_t n = value ? begin(rq, &node, &name) : -ENOMEM;

	if (n < 0)
		return n;
	n = getxattr(reach_name(node.fd).text, name, value, XATTR_SIZE_MAX);
	return n < 0 ? -errno : reply_value(rq, in->size, value, (size_t)n);
}

/* Keeps the names of user.* of a list; their length. */
static size_t filter(char *names, size_t len)
{
	size_t kept = 0;

	for (size_t at = 0, n; at < len; at += n) {
		n = strlen(names + at) + 1;
		if (!is_user(names + at))
			continue;
		memmove(names + kept, names + at, n);
		kept += n;
	}
	return kept;
}

ssize_t op_listxattr(struct request *rq)
{
	const struct fuse_getxattr_in *in = args_take(&rq->args, sizeof(*in));
	char *names CLEANUP_FREE = malloc(XATTR_LIST_MAX);
	struct node node CLEANUP_NODE = { 0 };
	ssize_t n = node_open(&node, rq->server, rq->head.nodeid);

	if (n == 0 && !names)
		n = -ENOMEM;
	if (n < 0)
		return n;
	if (node.inode->key.type == S_IFLNK)
		return reply_value(rq, in->size, "", 0);
	n = listxattr(reach_name(node.fd).text, names, XATTR_LIST_MAX);
	if (n < 0)
		return -errno;
	return reply_value(rq, in->size, names, filter(names, (size_t)n));
}

ssize_t op_setxattr(struct request *rq)
{
	/* Without FUSE_SETXATTR_EXT the struct ends before setxattr_flags. */
	const struct fuse_setxattr_in *in =
		args_take(&rq->args, FUSE_COMPAT_SETXATTR_IN_SIZE);
	struct node node CLEANUP_NODE = { 0 };
	const void *value;
	const char *name;
	int r = begin(rq, &node, &name);

	if (r < 0)
		return r;
	if (in->size > XATTR_SIZE_MAX)
		return -E2BIG;
	value = args_take(&rq->args, in->size);
	if (!value)
		return -EINVAL;
	r = setxattr(reach_name(node.fd).text, name, value, in->size,
		     (int)in->flags & (XATTR_CREATE | XATTR_REPLACE));
	return r < 0 ? -errno : 0;
}

ssize_t op_removexattr(struct request *rq)
{
	struct node node CLEANUP_NODE = { 0 };
	const char *name;
	int r = begin(rq, &node, &name);

	if (r < 0)
		return r;
	return removexattr(reach_name(node.fd).text, name) < 0 ? -errno : 0;
}
