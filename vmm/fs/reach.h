/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From ids of the guest to descriptors of the host, within the share.  All that
 * the server opens is opened here, and every descriptor is reserved in the
 * budget first.
 */
#ifndef VMM_FS_REACH_H
#define VMM_FS_REACH_H

#include <sys/stat.h>

#include "vmm/fs/server.h"

/* An inode in use, with its O_PATH descriptor. */
struct node {
	struct fs_server *server;
	struct inode *inode;
	int fd;
};

/*
 * Finds an inode and opens it if it has no descriptor now.  -ESTALE for an
 * unknown id, and for a file that is not where it was; other -errno.
 */
int node_open(struct node *node, struct fs_server *server, uint64_t id);
void node_close(struct node *node);
#define CLEANUP_NODE __attribute__((cleanup(node_close)))

/* A handle in use, with its descriptor. */
struct opened {
	struct fs_server *server;
	struct handle *handle;
	int fd;
};

/*
 * Finds a handle and opens it if it was restored.  -EBADF for an unknown id, one
 * of another inode than @inode_id, or a directory's unless @type is S_IFDIR
 * (S_IFREG: a file's; 0: any).
 */
int opened_get(struct opened *o, struct fs_server *server, uint64_t handle_id,
	       uint64_t inode_id, uint32_t type);
void opened_put(struct opened *o);
#define CLEANUP_OPENED __attribute__((cleanup(opened_put)))

/*
 * Opens the restored handles of a file that is about to lose its name, by which
 * it could not be found any more.  Those that cannot be opened are stale.
 */
void reach_handles(const struct node *dir, const char *name);

/*
 * Opens @name in the directory @dir, O_PATH, without following it, and enters it
 * into the table with a lookup of the guest.  @child is closed by the caller.
 */
int reach_child(const struct node *dir, const char *name, struct node *child,
		struct statx *stx);

/*
 * Enters @name of the directory @dir with a lookup, but does not open it.
 * Returns its id, or 0 where it is gone or the table is full.
 */
uint64_t reach_child_lazily(struct fs_server *server, struct inode *dir,
			    int dir_fd, const char *name, struct statx *stx);

/* The same for an open file without a name (O_TMPFILE).  @fd stays open. */
int reach_anonymous(struct fs_server *server, int fd, struct node *child,
		    struct statx *stx);

/* Opens a node for reading, writing, ...; the descriptor is reserved. */
int reach_open(const struct node *node, int flags);

/*
 * Creates @name in @dir with openat2(), exclusively; "." with O_TMPFILE.  The
 * descriptor is reserved.
 */
int reach_create(const struct node *dir, const char *name, int flags,
		 mode_t mode);
/* Closes what the two above opened. */
void reach_close(struct fs_server *server, int fd);

/* statx() of a descriptor, with all that an inode's key and attributes need. */
int reach_stat(int fd, struct statx *stx);
void reach_key(const struct statx *stx, struct inode_key *key);

/* Whether an open file is the node's. */
bool reach_is_same(const struct node *node, int fd);

/* Whether an inode is found at its place now; for saving. */
bool reach_has_place(struct fs_server *server, struct inode *inode);

/* The name of a descriptor in the thread's working directory, /proc/self/fd. */
struct reach_name {
	char text[16];
};
struct reach_name reach_name(int fd);

#endif
