/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's side of the FUSE protocol over fs_handle(), for tests: requests are
 * encoded, cut into pieces at changing places, and replies are taken apart.
 *
 * Calls return 0 or the reply's -errno.  A malformed reply fails the test.
 */
#ifndef TESTS_UNIT_FS_CLIENT_H
#define TESTS_UNIT_FS_CLIENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <cmocka.h>
#include <linux/fuse.h>
#include <sys/types.h>

#include "tests/unit/base/tree.h"
#include "vmm/fs/fs.h"

/* No reply was written. */
#define CLIENT_NO_REPLY 1000

struct client {
	struct fs_server *server; /* owned */
	char top[64]; /* a temporary directory */
	char dir[80]; /* top/share, the directory that is shared */
	uint32_t uid, gid; /* of the caller */
	uint64_t unique;
	uint64_t flags; /* agreed on by INIT */
	unsigned int seed; /* of how requests are cut */
	size_t reply_max; /* space for the contents of the next reply */
	uint8_t *reply; /* contents of the last one */
	size_t reply_len;
};

/* Makes the directories, the server, and prepares the thread.  No INIT. */
void client_create(struct client *c, const struct fs_config *config);
/* The same with INIT, which offers all flags that Linux 6.12 has. */
void client_start(struct client *c, const struct fs_config *config);
/* Destroys the server and makes another over the same directory. */
void client_restart(struct client *c, const struct fs_config *config);
/* Destroys it all, directories too. */
void client_finish(struct client *c);
/* A path in the share, in one of a few buffers that are used again. */
const char *client_path(const struct client *c, const char *name);

/* A request of any kind: the opcode, its arguments in two parts. */
int client_call(struct client *c, uint32_t opcode, uint64_t node, const void *a,
		size_t a_len, const void *b, size_t b_len);

int client_init(struct client *c, uint64_t flags, struct fuse_init_out *out);
int client_lookup(struct client *c, uint64_t dir, const char *name,
		  struct fuse_entry_out *entry);
/* Looks up a path below the root and returns its id; fails the test if not. */
uint64_t client_walk(struct client *c, const char *path);
void client_forget(struct client *c, uint64_t node, uint64_t count);
int client_getattr(struct client *c, uint64_t node, struct fuse_attr *attr);
int client_setattr(struct client *c, uint64_t node,
		   const struct fuse_setattr_in *in, struct fuse_attr *attr);
int client_mkdir(struct client *c, uint64_t dir, const char *name,
		 uint32_t mode, uint64_t *node);
int client_create_file(struct client *c, uint64_t dir, const char *name,
		       uint32_t flags, uint32_t mode, uint64_t *node,
		       uint64_t *fh);
int client_open(struct client *c, uint64_t node, uint32_t flags, uint64_t *fh);
int client_opendir(struct client *c, uint64_t node, uint64_t *fh);
int client_release(struct client *c, uint64_t node, uint64_t fh);
/* How many bytes were read or written; or -errno. */
ssize_t client_read(struct client *c, uint64_t node, uint64_t fh,
		    uint64_t offset, void *to, size_t len);
ssize_t client_write(struct client *c, uint64_t node, uint64_t fh,
		     uint64_t offset, const void *from, size_t len,
		     uint32_t flags, uint32_t write_flags);
/* @extra: setxattr_flags, sent only where FUSE_SETXATTR_EXT was agreed on. */
int client_setxattr(struct client *c, uint64_t node, const char *name,
		    const void *value, size_t len, uint32_t flags,
		    uint32_t extra);
/* FUSE_GETXATTR, or FUSE_LISTXATTR with @name NULL; into c->reply. */
int client_getxattr(struct client *c, uint64_t node, const char *name,
		    uint32_t space);
int client_unlink(struct client *c, uint64_t dir, const char *name);
int client_rename(struct client *c, uint64_t dir, const char *name,
		  uint64_t new_dir, const char *new_name, uint32_t flags);

/* Writes a file on the host; reads one whole into @to. */
void host_write(const char *path, const char *text);
size_t host_read(const char *path, char *to, size_t size);
/* How many descriptors this process has. */
unsigned int host_fds(void);

#endif
