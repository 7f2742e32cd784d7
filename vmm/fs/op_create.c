// SPDX-License-Identifier: BSD-2-Clause
/*
 * Creates files, directories and links, each with the ids of the caller
 * (creds.h) and its umask, which is the thread's own (fs.h); the
 * kernel leaves it aside where the directory has a default ACL.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vmm/fs/attr.h"
#include "vmm/fs/open_flags.h"
#include "vmm/fs/ops.h"
#include "vmm/fs/reach.h"

/* Without FUSE_DONT_MASK, the guest has masked the mode already. */
static void set_umask(struct request *rq, uint32_t mask)
{
	umask(server_has(rq->server, FUSE_DONT_MASK) ? mask & 0777 : 0);
}

/* Begins to act for the caller; creds_leave() ends it. */
static int enter(struct request *rq, uint32_t mask)
{
	set_umask(rq, mask);
	return creds_enter_create(&rq->server->creds, rq->head.uid,
				  rq->head.gid);
}

/* Ends it, with what the system call returned. */
static int leave(struct request *rq, int result)
{
	int r = result < 0 ? -errno : 0;

	creds_leave(&rq->server->creds);
	return r;
}

/* Replies with the entry of a name that was just made. */
static ssize_t reply_child(struct request *rq, const struct node *dir,
			   const char *name)
{
	struct node child CLEANUP_NODE = { 0 };
	struct fuse_entry_out entry;
	struct statx stx;
	int r = reach_child(dir, name, &child, &stx);

	if (r < 0)
		return r;
	attr_entry(rq->server, child.inode->id, &stx, &entry);
	return request_reply(rq, &entry, sizeof(entry));
}

/* Whether the guest may make a node of that type. */
static int check_type(const struct fs_server *server, uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
		return 0;
	case S_IFCHR:
	case S_IFBLK:
		return server->config.allow_devices ? 0 : -EPERM;
	default:
		return -EINVAL;
	}
}

/* The kernel's new_decode_dev(). */
static dev_t decode_dev(uint32_t dev)
{
	return makedev((dev & 0xfff00) >> 8,
		       (dev & 0xff) | ((dev >> 12) & 0xfff00));
}

ssize_t op_mknod(struct request *rq)
{
	const struct fuse_mknod_in *in = args_take(&rq->args, sizeof(*in));
	struct node dir CLEANUP_NODE = { 0 };
	const char *name;
	int r = args_name(&rq->args, &name);

	if (r == 0)
		r = check_type(rq->server, in->mode);
	if (r == 0)
		r = node_open(&dir, rq->server, rq->head.nodeid);
	if (r == 0)
		r = enter(rq, in->umask);
	if (r < 0)
		return r;
	/* The kernel uses the number for devices only. */
	r = leave(rq, mknodat(dir.fd, name, in->mode, decode_dev(in->rdev)));
	return r < 0 ? r : reply_child(rq, &dir, name);
}

ssize_t op_mkdir(struct request *rq)
{
	const struct fuse_mkdir_in *in = args_take(&rq->args, sizeof(*in));
	struct node dir CLEANUP_NODE = { 0 };
	const char *name;
	int r = args_name(&rq->args, &name);

	if (r == 0)
		r = node_open(&dir, rq->server, rq->head.nodeid);
	if (r == 0)
		r = enter(rq, in->umask);
	if (r < 0)
		return r;
	r = leave(rq, mkdirat(dir.fd, name, in->mode & 07777));
	return r < 0 ? r : reply_child(rq, &dir, name);
}

ssize_t op_symlink(struct request *rq)
{
	struct node dir CLEANUP_NODE = { 0 };
	const char *name, *target = "";
	int r = args_name(&rq->args, &name);

	if (r == 0)
		r = args_string(&rq->args, PATH_MAX - 1, &target);
	if (r == 0)
		r = node_open(&dir, rq->server, rq->head.nodeid);
	if (r == 0)
		r = enter(rq, 0);
	if (r < 0)
		return r;
	r = leave(rq, symlinkat(target, dir.fd, name));
	return r < 0 ? r : reply_child(rq, &dir, name);
}

ssize_t op_link(struct request *rq)
{
	const struct fuse_link_in *in = args_take(&rq->args, sizeof(*in));
	struct node dir CLEANUP_NODE = { 0 }, old CLEANUP_NODE = { 0 };
	const char *name;
	int r = args_name(&rq->args, &name);

	if (r == 0)
		r = node_open(&dir, rq->server, rq->head.nodeid);
	if (r == 0)
		r = node_open(&old, rq->server, in->oldnodeid);
	if (r < 0)
		return r;
	if (linkat(rq->server->proc_fd, reach_name(old.fd).text, dir.fd, name,
		   AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	return reply_child(rq, &dir, name);
}

/* Adds a handle to @child, which has an entry already, and replies with both. */
static ssize_t reply_created(struct request *rq, const struct node *child,
			     const struct statx *stx, int fd, int flags)
{
	struct fs_server *server = rq->server;
	struct fuse_open_out out = { 0 };
	struct fuse_entry_out entry;
	int r = handle_add(&server->handles, 0, child->inode, flags, fd,
			   &out.fh);

	if (r < 0) {
		reach_close(server, fd);
		inode_forget(&server->inodes, child->inode->id, 1);
		return r;
	}
	attr_entry(server, child->inode->id, stx, &entry);
	out.open_flags = open_flags_reply(server, child->inode, flags, stx);
	request_reply(rq, &entry, sizeof(entry));
	request_reply(rq, &out, sizeof(out));
	return sizeof(entry) + sizeof(out);
}

/*
 * Opens a name that another has created, with the caller's own permission: the
 * guest did not see the file, so it has not checked.
 */
static int open_existing(struct request *rq, const struct node *child,
			 uint32_t guest_flags)
{
	const struct creds *creds = &rq->server->creds;
	int flags = open_flags_host(rq->server, guest_flags);
	int fd, r;

	if (child->inode->key.type == S_IFDIR)
		return -EISDIR;
	r = creds_enter_caller(creds, rq->head.uid, rq->head.gid);
	if (r < 0)
		return r;
	fd = reach_open(child, flags | (int)(guest_flags & O_TRUNC));
	creds_leave(creds);
	return fd;
}

ssize_t op_create(struct request *rq)
{
	const struct fuse_create_in *in = args_take(&rq->args, sizeof(*in));
	struct node dir CLEANUP_NODE = { 0 }, child CLEANUP_NODE = { 0 };
	struct fs_server *server = rq->server;
	int flags = open_flags_host(server, in->flags);
	struct statx stx;
	const char *name;
	int fd, r = args_name(&rq->args, &name);

	if (r == 0)
		r = node_open(&dir, server, rq->head.nodeid);
	if (r == 0)
		r = enter(rq, in->umask);
	if (r < 0)
		return r;
	fd = reach_create(&dir, name, flags | O_CREAT | O_EXCL,
			  in->mode & 07777);
	creds_leave(&server->creds);
	if (fd < 0 && (fd != -EEXIST || in->flags & O_EXCL))
		return fd;
	r = reach_child(&dir, name, &child, &stx);
	if (r < 0) {
		reach_close(server, fd);
		return r;
	}
	if (fd < 0) {
		fd = open_existing(rq, &child, in->flags);
		/* It may have been truncated. */
		r = fd < 0 ? 0 : reach_stat(fd, &stx);
		if (r < 0) {
			reach_close(server, fd);
			fd = r;
		}
	} else if (!reach_is_same(&child, fd)) {
		/* Replaced meanwhile: the guest asks again. */
		reach_close(server, fd);
		fd = -ESTALE;
	}
	if (fd < 0) {
		inode_forget(&server->inodes, child.inode->id, 1);
		return fd;
	}
	return reply_created(rq, &child, &stx, fd, flags);
}

/* The name in the request is the guest kernel's placeholder. */
ssize_t op_tmpfile(struct request *rq)
{
	const struct fuse_create_in *in = args_take(&rq->args, sizeof(*in));
	struct node dir CLEANUP_NODE = { 0 }, child CLEANUP_NODE = { 0 };
	int flags = open_flags_host(rq->server, in->flags);
	struct statx stx;
	int fd, r;

	/* The host refuses O_TMPFILE for reading only. */
	if ((flags & O_ACCMODE) == O_RDONLY)
		return -EINVAL;
	r = node_open(&dir, rq->server, rq->head.nodeid);
	if (r == 0)
		r = enter(rq, in->umask);
	if (r < 0)
		return r;
	fd = reach_create(&dir, ".",
			  flags | O_TMPFILE | (int)(in->flags & O_EXCL),
			  in->mode & 07777);
	creds_leave(&rq->server->creds);
	if (fd < 0)
		return fd;
	r = reach_anonymous(rq->server, fd, &child, &stx);
	if (r < 0) {
		reach_close(rq->server, fd);
		return r;
	}
	return reply_created(rq, &child, &stx, fd, flags);
}
