// SPDX-License-Identifier: BSD-2-Clause
/*
 * Extended attributes: which ones, see fs.h.  They are reached by path, as O_PATH
 * descriptors have no such operations: the thread's working directory is
 * /proc/self/fd (fs.h), and a symbolic link there leads to the file that is open,
 * which is not followed if it is a symbolic link itself.
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

static bool has_prefix(const char *name, const char *prefix)
{
	size_t len = strlen(prefix);

	return !strncmp(name, prefix, len) && name[len];
}

static bool is_acl(const char *name)
{
	return !strcmp(name, "system.posix_acl_access") ||
	       !strcmp(name, "system.posix_acl_default");
}

/* Whether the guest may know of a name. */
static bool is_offered(struct fs_server *server, const char *name)
{
	if (has_prefix(name, "user."))
		return true;
	if (server->creds.single)
		return false;
	return has_prefix(name, "security.") || has_prefix(name, "trusted.") ||
	       (is_acl(name) && server_has(server, FUSE_POSIX_ACL));
}

/* Reads the name and opens the node. */
static int begin(struct request *rq, struct node *node, const char **name)
{
	int r = args_string(&rq->args, XATTR_NAME_MAX, name);

	if (r == -ENAMETOOLONG)
		return -ERANGE;
	if (r == 0 && !is_offered(rq->server, *name))
		r = -EOPNOTSUPP;
	if (r == 0)
		r = node_open(node, rq->server, rq->head.nodeid);
	/* Symbolic links have none of the other kinds. */
	if (r == 0 && node->inode->key.type == S_IFLNK &&
	    !has_prefix(*name, "security.") && !has_prefix(*name, "trusted."))
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
	const char *name = "";
	ssize_t n = value ? begin(rq, &node, &name) : -ENOMEM;

	if (n == 0) {
		n = getxattr(reach_name(node.fd).text, name, value,
			     XATTR_SIZE_MAX);
		n = n < 0 ? -errno : n;
	}
	/* The guest checks permissions by it, and refuses all on this error. */
	if (n == -EOPNOTSUPP && server_has(rq->server, FUSE_POSIX_ACL) &&
	    is_acl(name))
		return -ENODATA;
	return n < 0 ? n : reply_value(rq, in->size, value, (size_t)n);
}

/*
 * Keeps the names of a list that the caller may know of; their length.  Those of
 * trusted.* are for root alone, also in a list (xattr(7)).
 */
static size_t filter(struct request *rq, char *names, size_t len)
{
	size_t kept = 0;

	for (size_t at = 0, n; at < len; at += n) {
		n = strlen(names + at) + 1;
		if (!is_offered(rq->server, names + at) ||
		    (rq->head.uid && has_prefix(names + at, "trusted.")))
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
	n = listxattr(reach_name(node.fd).text, names, XATTR_LIST_MAX);
	if (n < 0)
		return -errno;
	return reply_value(rq, in->size, names, filter(rq, names, (size_t)n));
}

/*
 * Sets a value.  If the guest asks for it, an ACL clears the set-group-ID bit of a
 * file whose group the caller is not in.
 */
static int set_value(struct request *rq, const struct node *node,
		     const char *name, const void *value,
		     const struct fuse_setxattr_in *in, bool kills_sgid)
{
	const struct creds *creds = &rq->server->creds;
	int r;

	if (kills_sgid)
		creds_enter_group(creds, rq->head.gid);
	r = setxattr(reach_name(node->fd).text, name, value, in->size,
		     (int)in->flags & (XATTR_CREATE | XATTR_REPLACE));
	r = r < 0 ? -errno : 0;
	if (kills_sgid)
		creds_leave(creds);
	return r;
}

ssize_t op_setxattr(struct request *rq)
{
	/* Without FUSE_SETXATTR_EXT the struct ends before setxattr_flags. */
	bool extended = server_has(rq->server, FUSE_SETXATTR_EXT);
	const struct fuse_setxattr_in *in =
		args_take(&rq->args, extended ? sizeof(*in) :
						FUSE_COMPAT_SETXATTR_IN_SIZE);
	struct node node CLEANUP_NODE = { 0 };
	const void *value;
	const char *name;
	int r = in ? begin(rq, &node, &name) : -EINVAL;

	if (r < 0)
		return r;
	if (in->size > XATTR_SIZE_MAX)
		return -E2BIG;
	value = args_take(&rq->args, in->size);
	if (!value)
		return -EINVAL;
	return set_value(rq, &node, name, value, in,
			 extended && in->setxattr_flags &
					     FUSE_SETXATTR_ACL_KILL_SGID);
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
