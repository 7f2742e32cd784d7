/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inode table: what the guest has looked up and not forgotten.
 *
 * An inode has
 *	an id	the guest's node id, never used twice, so that a stale one finds
 *		nothing; the root has FUSE_ROOT_ID
 *	a key	which file of the host it is
 *	a place	the parent and name where the server saw it last.  No two inodes
 *		have one place.  The chain of parents has no cycle
 *	an fd	O_PATH, or none: opened when needed, closed when there are too
 *		many and no request uses it
 *
 * It exists while the guest has lookups of it, or something refers to it: a
 * running request, a handle, a child's place.
 *
 * Any thread.  One lock per table, inside these functions; none of them opens or
 * reads anything, or touches guest memory.
 */
#ifndef VMM_FS_INODE_H
#define VMM_FS_INODE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct file_handle;

/* Which file of the host.  Two files are the same if all of it is the same. */
struct inode_key {
	uint64_t dev, ino;
	uint64_t birth_ns; /* since 1970; 0 where the file system has none */
	uint32_t type; /* S_IFMT bits of the mode */
};

/* Differs if the contents of the file have changed. */
struct inode_version {
	uint64_t size, mtime_ns, ctime_ns;
};

struct inode {
	uint64_t id;
	struct inode_key key;
	bool key_is_known; /* false: restored from a copy, and not yet seen */
	uint64_t lookups; /* of the guest */
	unsigned int refs;
	struct inode *parent; /* a reference; NULL: no place */
	char *name; /* without a place: the last known one, or NULL */
	bool saved_stale; /* fs_save(): its place is not saved */
	bool has_path; /* what the save with this number found */
	uint64_t checked_by; /* also of inode_has_ring() */
	int fd; /* -1: none */
	unsigned int users; /* of the fd */
	struct file_handle
		*file_handle; /* kept when the fd was closed, or NULL */
	struct inode_version version; /* when the guest last opened it */
	struct inode *next_of_id, *next_of_key, *next_of_place;
	struct inode *older, *newer; /* of those whose fd has no user */
};

struct inode_table {
	pthread_mutex_t lock;
	struct inode **by_id, **by_key, **by_place; /* chains */
	size_t buckets, count, count_max; /* buckets: a power of two */
	uint64_t next_id;
	struct inode *root;
	struct inode *oldest, *newest; /* fds without users */
	unsigned int fds, fds_max; /* all that are reserved */
};

/* 0, or -ENOMEM with a table that inode_table_finish() takes. */
int inode_table_init(struct inode_table *t, size_t count_max,
		     unsigned int fds_max);

/* Frees all inodes, referenced or not.  A zeroed table is fine. */
void inode_table_finish(struct inode_table *t);

/* The root, once: its key and its descriptor, which the table closes. */
int inode_set_root(struct inode_table *t, const struct inode_key *key, int fd);

/* A reference to the inode with this id, or NULL; put by inode_put(). */
struct inode *inode_get(struct inode_table *t, uint64_t id);
/* Adds a reference to an inode that the caller has one of. */
void inode_hold(struct inode_table *t, struct inode *inode);
void inode_put(struct inode_table *t, struct inode *inode);

/* Takes back up to @lookups of the guest's; an unknown id is nothing. */
void inode_forget(struct inode_table *t, uint64_t id, uint64_t lookups);
/* Takes back all lookups of all inodes. */
void inode_forget_all(struct inode_table *t);

/*
 * Adds an inode as it was saved, without a place: -EEXIST, -ENFILE, -ENOMEM.
 * The reference is the caller's.
 */
int inode_add_saved(struct inode_table *t, uint64_t id,
		    const struct inode_key *key, bool key_is_known,
		    uint64_t lookups, struct inode **inode);

/* Calls @each for every inode but the root, with the lock held. */
void inode_for_each(struct inode_table *t,
		    void (*each)(void *ctx, struct inode *inode), void *ctx);

/*
 * The inode of a file that was found as @name in @parent, with one more lookup
 * of the guest and a reference for the caller.  @parent NULL: a file without a
 * name.  *@fd, if not -1, is a reserved descriptor of it: the inode takes it if
 * it has none, and *@fd is -1 then.  -ENFILE (table full), -ENOMEM.
 */
int inode_intern(struct inode_table *t, const struct inode_key *key, int *fd,
		 struct inode *parent, const char *name, struct inode **inode);

/* Whether @key is the inode's; the first key of one that has none is its own. */
bool inode_check_key(struct inode_table *t, struct inode *inode,
		     const struct inode_key *key);

/* A reference to the inode that has this place, or NULL. */
struct inode *inode_at_place(struct inode_table *t, const struct inode *parent,
			     const char *name);

/* The name was removed: whatever had that place has none. */
void inode_place_removed(struct inode_table *t, struct inode *parent,
			 const char *name);
/* The name was moved, or the two were exchanged. */
void inode_place_moved(struct inode_table *t, struct inode *from,
		       const char *old_name, struct inode *to,
		       const char *new_name, bool exchanged);

/*
 * Gives a restored inode its place, once.  -ELOOP, -EEXIST (place taken), -ENOMEM.
 * A longer ring is for inode_has_ring() to find, when all have theirs.
 */
int inode_place_saved(struct inode_table *t, struct inode *inode,
		      struct inode *parent, const char *name);

/* Whether a chain of parents has a cycle, before any save. */
bool inode_has_ring(struct inode_table *t);

/*
 * The path of an inode from the nearest parent that has an fd, which is then in
 * use, by inode_fd_release() no more.  -ESTALE: no place; -ENAMETOOLONG.
 */
int inode_path(struct inode_table *t, struct inode *inode, char *path,
	       size_t size, struct inode **from, int *from_fd);

/* The id of the parent that is known, or the inode's own. */
uint64_t inode_parent_ino(struct inode_table *t, struct inode *inode);

/*
 * Reserves one descriptor of the budget: true, or *@victim is an inode whose fd
 * is in use by the caller, to be closed by inode_fd_evict(), or NULL where
 * there is none to close.
 */
bool inode_fd_reserve(struct inode_table *t, struct inode **victim);
void inode_fd_unreserve(struct inode_table *t);

/*
 * Closes the fd that inode_fd_reserve() chose, unless it has other users.
 * @file_handle, or NULL, becomes the inode's.  Ends the use.
 */
void inode_fd_evict(struct inode_table *t, struct inode *inode,
		    struct file_handle *file_handle);

/* The inode's fd, now in use until inode_fd_release(); -1 if it has none. */
int inode_fd_use(struct inode_table *t, struct inode *inode);
void inode_fd_release(struct inode_table *t, struct inode *inode);

/*
 * Gives the inode a reserved fd; if it has one by now, @fd is closed.
 * The inode's fd, in use.
 */
int inode_fd_give(struct inode_table *t, struct inode *inode, int fd);

/* The file handle that was kept, or NULL; lives as long as the inode. */
const struct file_handle *inode_file_handle(struct inode_table *t,
					    struct inode *inode);

/*
 * Sets the version that the guest's cache has; whether it had that version
 * already.
 */
bool inode_version_is(struct inode_table *t, struct inode *inode,
		      const struct inode_version *version);

#endif
