// SPDX-License-Identifier: BSD-2-Clause
/*
 * How the server reaches files.  An inode's descriptor is O_PATH and made by
 * openat2() with one component below its parent's descriptor, or, when it was
 * closed for the budget, by file handle or by the path from the nearest parent
 * that is open.  Whatever was opened again must have the inode's key.
 *
 * Any thread; no lock is held here.
 */
#include "vmm/fs/reach.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "vmm/base/beneath.h"
#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"

#define FILE_HANDLE_BYTES_MAX 128

/*
 * Symbolic links in the path are errors; one as the last component is opened
 * itself, with O_PATH.
 */
static int open_below(int dir_fd, const char *path, int flags, mode_t mode)
{
	return open_beneath(dir_fd, path, flags | O_NOFOLLOW, mode,
			    RESOLVE_NO_SYMLINKS);
}

struct reach_name reach_name(int fd)
{
	struct reach_name name;

	snprintf(name.text, sizeof(name.text), "%d", fd);
	return name;
}

/* The file handle of an open inode, on the heap; NULL if there is none. */
static struct file_handle *file_handle_of(int fd)
{
	struct file_handle *h = malloc(sizeof(*h) + FILE_HANDLE_BYTES_MAX);
	int mount_id;

	if (!h)
		return NULL;
	h->handle_bytes = FILE_HANDLE_BYTES_MAX;
	if (name_to_handle_at(fd, "", h, &mount_id, AT_EMPTY_PATH) == 0)
		return h;
	free(h);
	return NULL;
}

/* Reserves a descriptor; closes an unused one if the budget is spent. */
static int reserve(struct fs_server *server)
{
	struct inode_table *t = &server->inodes;
	struct inode *victim;

	while (!inode_fd_reserve(t, &victim)) {
		struct file_handle *h = NULL;

		if (!victim)
			return -ENFILE;
		if (server->mount_fd >= 0 && !inode_file_handle(t, victim))
			h = file_handle_of(victim->fd);
		inode_fd_evict(t, victim, h);
	}
	return 0;
}

/* Takes a result of open: with an error, the reservation is not needed. */
static int reserved(struct fs_server *server, int fd)
{
	if (fd < 0)
		inode_fd_unreserve(&server->inodes);
	return fd;
}

void reach_close(struct fs_server *server, int fd)
{
	int saved = errno;

	if (fd < 0)
		return;
	close(fd);
	inode_fd_unreserve(&server->inodes);
	errno = saved;
}

#define STATX_WANTED (STATX_BASIC_STATS | STATX_BTIME)

int reach_stat(int fd, struct statx *stx)
{
	int r = statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_WANTED,
		      stx);

	return r < 0 ? -errno : 0;
}

void reach_key(const struct statx *stx, struct inode_key *key)
{
	memset(key, 0, sizeof(*key));
	key->dev = makedev(stx->stx_dev_major, stx->stx_dev_minor);
	key->ino = stx->stx_ino;
	key->type = stx->stx_mode & S_IFMT;
	if (stx->stx_mask & STATX_BTIME)
		key->birth_ns = (uint64_t)stx->stx_btime.tv_sec * NS_PER_S +
				stx->stx_btime.tv_nsec;
}

/*
 * Refuses what belongs to a procfs that is mounted in the share: see
 * "Confinement" in fs.h.  @fd is open on the file system @dev.
 */
static int check_file_system(const struct fs_server *server, uint64_t dev,
			     int fd)
{
	struct statfs s;

	/* The share's own, which is constant. */
	if (dev == server->devs[0])
		return 0;
	if (fstatfs(fd, &s) < 0)
		return -errno;
	return s.f_type == PROC_SUPER_MAGIC ? -EACCES : 0;
}

/* 0 if an open file is the inode, -ESTALE if not; or another -errno. */
static int check_inode(struct fs_server *server, struct inode *inode, int fd)
{
	struct inode_key key;
	struct statx stx;
	int r = reach_stat(fd, &stx);

	if (r < 0)
		return r;
	reach_key(&stx, &key);
	if (!inode_check_key(&server->inodes, inode, &key))
		return -ESTALE;
	/* The root of a procfs may be mounted over in the guest. */
	return key.type == S_IFDIR ? 0 : check_file_system(server, key.dev, fd);
}

static int open_by_handle(struct fs_server *server, struct inode *inode)
{
	const struct file_handle *h = inode_file_handle(&server->inodes, inode);
	int fd;

	if (!h || server->mount_fd < 0)
		return -ESTALE;
	/* The function does not write to it. */
	fd = open_by_handle_at(server->mount_fd, (struct file_handle *)h,
			       O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_by_path(struct fs_server *server, struct inode *inode)
{
	char path[PATH_MAX];
	struct inode *from;
	int from_fd, fd;

	fd = inode_path(&server->inodes, inode, path, sizeof(path), &from,
			&from_fd);
	if (fd < 0)
		return fd;
	fd = open_below(from_fd, path, O_PATH, 0);
	inode_fd_release(&server->inodes, from);
	inode_put(&server->inodes, from);
	return fd;
}

/* A file that has no name any more, by one of the guest's handles. */
static int open_by_opened(struct fs_server *server, struct inode *inode)
{
	struct handle *handle = handle_of_inode(&server->handles, inode);
	int fd;

	if (!handle)
		return -ESTALE;
	fd = openat(server->proc_fd, reach_name(handle->fd).text,
		    O_PATH | O_CLOEXEC);
	fd = fd < 0 ? -errno : fd;
	handle_put(&server->handles, handle);
	return fd;
}

typedef int opener(struct fs_server *server, struct inode *inode);

/* Opens an inode again, O_PATH, by the first way that gives the same file. */
static int open_again(struct fs_server *server, struct inode *inode)
{
	static opener *const openers[] = { open_by_handle, open_by_path,
					   open_by_opened };
	int r = -ESTALE;

	for (size_t i = 0; i < ARRAY_SIZE(openers); i++) {
		int fd = openers[i](server, inode);
		int err = fd < 0 ? fd : check_inode(server, inode, fd);

		if (err == 0)
			return fd;
		if (fd >= 0)
			close(fd);
		/* An error that says more than that the file is gone. */
		if (err != -ESTALE && err != -ENOENT && err != -ENOTDIR &&
		    err != -ELOOP && err != -EXDEV)
			r = err;
	}
	return r;
}

/* Opens a node for an inode whose reference it takes. */
static int open_inode(struct node *node, struct fs_server *server,
		      struct inode *inode)
{
	int fd = inode_fd_use(&server->inodes, inode);

	node->server = NULL;
	if (fd < 0) {
		fd = reserve(server);
		if (fd == 0)
			fd = reserved(server, open_again(server, inode));
		if (fd >= 0)
			fd = inode_fd_give(&server->inodes, inode, fd);
	}
	if (fd < 0) {
		inode_put(&server->inodes, inode);
		return fd;
	}
	*node = (struct node){ server, inode, fd };
	return 0;
}

int node_open(struct node *node, struct fs_server *server, uint64_t id)
{
	struct inode *inode = inode_get(&server->inodes, id);

	node->server = NULL;
	return inode ? open_inode(node, server, inode) : -ESTALE;
}

void node_close(struct node *node)
{
	int saved = errno;

	if (!node->server)
		return;
	inode_fd_release(&node->server->inodes, node->inode);
	inode_put(&node->server->inodes, node->inode);
	node->server = NULL;
	errno = saved;
}

/* Opens the file of a handle that was restored, at its first use. */
static int open_handle(struct fs_server *server, struct handle *handle)
{
	struct node node CLEANUP_NODE = { 0 };
	int r = node_open(&node, server, handle->inode->id);

	if (r < 0)
		return r;
	r = reach_open(&node, handle->flags);
	return r < 0 ? r : handle_give(&server->handles, handle, r);
}

void reach_handles(const struct node *dir, const char *name)
{
	struct fs_server *server = dir->server;
	struct inode *inode = inode_at_place(&server->inodes, dir->inode, name);
	struct handle *handle;
	uint64_t after = 0;
	int r = 0;

	if (!inode)
		return;
	/* Without descriptors, the next one fails, too. */
	while (r != -ENFILE && r != -EMFILE &&
	       (handle = handle_unopened(&server->handles, inode, after))) {
		after = handle->id;
		r = open_handle(server, handle);
		handle_put(&server->handles, handle);
	}
	inode_put(&server->inodes, inode);
}

int opened_get(struct opened *o, struct fs_server *server, uint64_t handle_id,
	       uint64_t inode_id, uint32_t type)
{
	struct handle *handle = handle_get(&server->handles, handle_id);
	int fd;

	o->server = NULL;
	if (!handle)
		return -EBADF;
	*o = (struct opened){ server, handle, -1 };
	if (handle->inode->id != inode_id ||
	    (type && handle->inode->key.type != type))
		return -EBADF;
	fd = handle_fd(&server->handles, handle);
	if (fd < 0)
		fd = open_handle(server, handle);
	o->fd = fd;
	return fd < 0 ? fd : 0;
}

void opened_put(struct opened *o)
{
	int saved = errno;

	if (o->server)
		handle_put(&o->server->handles, o->handle);
	o->server = NULL;
	errno = saved;
}

/* Enters a reserved O_PATH descriptor; it is the inode's or closed afterwards. */
static int enter(struct fs_server *server, struct inode *dir, const char *name,
		 int fd, const struct statx *stx, struct node *child)
{
	struct inode_key key;
	struct inode *inode;
	uint64_t id;
	int r;

	reach_key(stx, &key);
	r = inode_intern(&server->inodes, &key, &fd, dir, name, &inode);
	reach_close(server, fd);
	if (r < 0)
		return r;
	id = inode->id;
	r = open_inode(child, server, inode);
	if (r < 0)
		inode_forget(&server->inodes, id, 1);
	return r;
}

int reach_child(const struct node *dir, const char *name, struct node *child,
		struct statx *stx)
{
	struct fs_server *server = dir->server;
	int fd, r = check_file_system(server, dir->inode->key.dev, dir->fd);

	if (r == 0)
		r = reserve(server);
	if (r < 0)
		return r;
	fd = reserved(server, open_below(dir->fd, name, O_PATH, 0));
	if (fd < 0)
		return fd;
	r = reach_stat(fd, stx);
	if (r < 0) {
		reach_close(server, fd);
		return r;
	}
	return enter(server, dir->inode, name, fd, stx, child);
}

uint64_t reach_child_lazily(struct fs_server *server, struct inode *dir,
			    int dir_fd, const char *name, struct statx *stx)
{
	struct inode_key key;
	struct inode *inode;
	uint64_t id;
	int fd = -1;

	if (statx(dir_fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		  STATX_WANTED, stx) < 0)
		return 0;
	reach_key(stx, &key);
	if (inode_intern(&server->inodes, &key, &fd, dir, name, &inode) < 0)
		return 0;
	id = inode->id;
	inode_put(&server->inodes, inode);
	return id;
}

int reach_anonymous(struct fs_server *server, int fd, struct node *child,
		    struct statx *stx)
{
	int r = reserve(server);

	if (r < 0)
		return r;
	r = reach_stat(fd, stx);
	fd = openat(server->proc_fd, reach_name(fd).text, O_PATH | O_CLOEXEC);
	if (r == 0 && fd < 0)
		r = -errno;
	fd = reserved(server, fd);
	if (r < 0) {
		reach_close(server, fd);
		return r;
	}
	return enter(server, NULL, NULL, fd, stx, child);
}

/*
 * Opens a file with O_NONBLOCK, for those in /proc and its like that wait for
 * events when they are read.  Where it has a lease (fcntl(2)), the open waits for
 * the end of that.
 */
static int open_nonblocking(const struct node *node, int flags)
{
	struct reach_name name = reach_name(node->fd);
	int proc_fd = node->server->proc_fd, fd;

	flags |= O_CLOEXEC | O_NOCTTY;
	fd = openat(proc_fd, name.text, flags | O_NONBLOCK);
	if (fd >= 0 || errno != EWOULDBLOCK)
		return fd < 0 ? -errno : fd;
	fd = openat(proc_fd, name.text, flags);
	if (fd < 0)
		return -errno;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

int reach_open(const struct node *node, int flags)
{
	uint32_t type = node->inode->key.type;
	int r;

	/* Opening anything else may wait, or have an effect on the host. */
	if (type != S_IFREG && type != S_IFDIR)
		return type == S_IFLNK ? -ELOOP : -EINVAL;
	r = check_file_system(node->server, node->inode->key.dev, node->fd);
	if (r == 0)
		r = reserve(node->server);
	if (r < 0)
		return r;
	return reserved(node->server, open_nonblocking(node, flags));
}

int reach_create(const struct node *dir, const char *name, int flags,
		 mode_t mode)
{
	int r = reserve(dir->server);

	if (r < 0)
		return r;
	return reserved(dir->server,
			open_below(dir->fd, name, flags | O_NOCTTY, mode));
}

bool reach_is_same(const struct node *node, int fd)
{
	return check_inode(node->server, node->inode, fd) == 0;
}

bool reach_has_place(struct fs_server *server, struct inode *inode)
{
	bool has;
	int fd = reserve(server);

	if (fd < 0)
		return false;
	fd = reserved(server, open_by_path(server, inode));
	has = fd >= 0 && check_inode(server, inode, fd) == 0;
	reach_close(server, fd);
	return has;
}
