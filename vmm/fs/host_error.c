// SPDX-License-Identifier: BSD-2-Clause
/* See the header. */
#include "vmm/fs/host_error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/fs/reach.h"

/* Those of the host; EROFS only where the share is writable. */
static const int kinds[] = { EIO,      ENOSPC,	  EDQUOT,   ESTALE,  EMFILE,
			     ENFILE,   ENOMEM,	  EROFS,    EUCLEAN, ENODEV,
			     ENOTCONN, ETIMEDOUT, ESHUTDOWN };

_Static_assert(ARRAY_SIZE(kinds) <= HOST_ERROR_KINDS, "one element each");

/* The operations that a host error is likely in; others have their number. */
static const char *const names[] = {
	[FUSE_LOOKUP] = "lookup",
	[FUSE_GETATTR] = "getattr",
	[FUSE_SETATTR] = "setattr",
	[FUSE_READLINK] = "readlink",
	[FUSE_SYMLINK] = "symlink",
	[FUSE_MKNOD] = "mknod",
	[FUSE_MKDIR] = "mkdir",
	[FUSE_UNLINK] = "unlink",
	[FUSE_RMDIR] = "rmdir",
	[FUSE_RENAME] = "rename",
	[FUSE_LINK] = "link",
	[FUSE_OPEN] = "open",
	[FUSE_READ] = "read",
	[FUSE_WRITE] = "write",
	[FUSE_STATFS] = "statfs",
	[FUSE_FSYNC] = "fsync",
	[FUSE_SETXATTR] = "setxattr",
	[FUSE_GETXATTR] = "getxattr",
	[FUSE_LISTXATTR] = "listxattr",
	[FUSE_REMOVEXATTR] = "removexattr",
	[FUSE_FLUSH] = "close",
	[FUSE_OPENDIR] = "opendir",
	[FUSE_READDIR] = "readdir",
	[FUSE_FSYNCDIR] = "fsyncdir",
	[FUSE_ACCESS] = "access",
	[FUSE_CREATE] = "create",
	[FUSE_FALLOCATE] = "fallocate",
	[FUSE_READDIRPLUS] = "readdir",
	[FUSE_RENAME2] = "rename",
	[FUSE_LSEEK] = "lseek",
	[FUSE_COPY_FILE_RANGE] = "copy_file_range",
	[FS_OP_SYNCFS] = "syncfs",
	[FS_OP_TMPFILE] = "create",
};

/* What the user can do where strerror() does not say. */
static const char *reason(int err)
{
	return err == ENFILE ?
		       "out of descriptors or inodes (ulimit -n, fs.file-max)" :
		       strerror(err);
}

static const char *name_of(uint32_t opcode, char *number, size_t size)
{
	if (opcode < ARRAY_SIZE(names) && names[opcode])
		return names[opcode];
	snprintf(number, size, "operation %u", opcode);
	return number;
}

/* Counts an error, and logs it unless rate-limited; with the lock. */
static void note(struct fs_server *server, struct host_error_kind *kind,
		 uint32_t opcode, int err)
{
	char number[24], more[LOG_RATE_TEXT_BYTES];

	if (log_rate_take(&kind->rate, ++kind->count, more))
		log_error("share %s: %s: %s%s", server->label,
			  name_of(opcode, number, sizeof(number)), reason(err),
			  more);
}

/* Reports, once, that the directory itself was deleted: all in it is ENOENT. */
static void check_deleted(struct fs_server *server)
{
	struct host_errors *e = &server->errors;
	struct statx stx;

	if (reach_stat(server->inodes.root->fd, &stx) < 0 || stx.stx_nlink)
		return;
	atomic_fetch_add_explicit(&e->count, 1, memory_order_relaxed);
	pthread_mutex_lock(&e->lock);
	if (!e->deleted)
		log_error("share %s: the directory was deleted", server->label);
	e->deleted = true;
	pthread_mutex_unlock(&e->lock);
}

void host_error_count_request(struct fs_server *server)
{
	atomic_fetch_add_explicit(&server->errors.requests, 1,
				  memory_order_relaxed);
}

void host_error_note(struct fs_server *server, uint32_t opcode, uint64_t node,
		     int err)
{
	struct host_errors *e = &server->errors;
	size_t i;

	if (err == ENOENT && node == FUSE_ROOT_ID)
		check_deleted(server);
	for (i = 0; i < ARRAY_SIZE(kinds) && kinds[i] != err; i++)
		;
	if (i == ARRAY_SIZE(kinds) ||
	    (err == EROFS && server->config.read_only))
		return;
	atomic_fetch_add_explicit(&e->count, 1, memory_order_relaxed);
	pthread_mutex_lock(&e->lock);
	note(server, &e->kinds[i], opcode, err);
	pthread_mutex_unlock(&e->lock);
}
