/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A FUSE file server over one host directory (virtio 1.2, 5.11; FUSE protocol
 * 7.31 and later, <linux/fuse.h>).  It knows requests and replies as bytes in
 * memory; the virtio device, its queues and its configuration are elsewhere.
 *
 * Confinement.  Names of the guest are single components; every object is
 * opened by openat2() below the directory of its parent, without following
 * symbolic links, and opened again through /proc/self/fd.  ".." is never looked
 * up on the host, so a directory that the host moves out of the share gives no
 * access to its new parent.  Mounts inside the directory are crossed: they were
 * placed there by the host.  Their inode numbers carry the number of the file
 * system in the upper 16 bits, so that they do not collide.  The exception is a
 * procfs below the directory, as of a share of "/": nothing in it is looked up,
 * because /proc/PID/mem is the memory of thaw and of the user's other processes.
 *
 * Identity.  There are two models:
 *
 *	single	thaw has no privileges, or `squash` is set: one host user does
 *		everything, all files appear as guest_uid:guest_gid, and chown to
 *		another id is EPERM
 *	pass	thaw is root without `squash`: ids are the same in host and guest,
 *		and new files belong to the caller
 *
 * The guest kernel checks permissions by the attributes it is given.
 *
 * Extended attributes.  In the single model only user.*: the others belong to the
 * host's system, which thaw has no rights to.  In the pass model security.* (file
 * capabilities, labels), trusted.* and POSIX ACLs too, as far as the host's file
 * system has them; a guest that has such a directory as its root needs them.
 * FUSE_POSIX_ACL is negotiated then, so that the guest enforces ACLs: without it,
 * the group bits of a mode, which are an ACL's mask, would give the group more
 * than the ACL does.  It costs a GETXATTR for each file that the guest checks for
 * another user than the owner, again after its attributes have expired.  In the
 * single model ACLs count on the host alone, for thaw's user, as ids in them are
 * no ids of the guest.
 *
 * INTERRUPT kicks the thread of a request out of its system call: one that waits
 * for a lease to be broken or for a FUSE server ends with -EINTR; most others of
 * the kernel's file systems are not interruptible.
 *
 * Locks on files (fcntl, flock) stay in the guest: they are not offered.
 *
 * What bounds memory and descriptors: an argument of 72 KiB and one buffer of
 * 64 KiB per running request (file contents go between the file and guest memory
 * directly), inodes_max inodes of some 300 bytes and a name (as root, 136 more for
 * a file handle once its descriptor was closed), and fd_budget
 * descriptors, which bounds the open handles too.
 */
#ifndef VMM_FS_FS_H
#define VMM_FS_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct fs_server;
struct snap_reader;
struct snap_writer;

/* How long the guest may rely on what it knows. */
enum fs_cache {
	FS_CACHE_AUTO, /* attributes and names for 1 s; contents by mtime */
	FS_CACHE_ALWAYS, /* for a day; writeback cache: the guest owns the files */
	FS_CACHE_NEVER, /* nothing; contents by direct I/O */
};

struct fs_config {
	const char *path; /* the directory; copied */
	const char *tag; /* for messages, copied; NULL: none */
	bool read_only;
	enum fs_cache cache;
	uid_t guest_uid; /* the owner of all files in the single model */
	gid_t guest_gid;
	bool squash; /* as root: act as this user of the host */
	uid_t squash_uid;
	gid_t squash_gid;
	bool allow_devices; /* mknod of devices; the pass model only */
	unsigned int fd_budget; /* 0: fs_fd_budget(1); at least 32 */
	unsigned int inodes_max; /* 0: 4 Mi */
};

/* The most iovecs of a request, and of a reply. */
#define FS_IOV_MAX 1024

/*
 * The largest WRITE and READ in bytes.  INIT limits a WRITE in bytes, but a READ
 * in pages of the guest's, which have up to 64 KiB.
 */
#define FS_IO_BYTES_MAX	  (1024 * 1024)
#define FS_READ_BYTES_MAX (FS_IO_BYTES_MAX / 4096 * 65536)

/* The budget of each of @servers, which divide half of RLIMIT_NOFILE. */
unsigned int fs_fd_budget(unsigned int servers);

/*
 * Opens the directory.  Privileges are looked at here: drop them before, not
 * after.  -errno, logged with the path; -EPERM for squash or allow_devices
 * without the privileges.
 */
int fs_create(struct fs_server **server, const struct fs_config *config);

/* Closes all; no request may be running.  NULL is fine. */
void fs_destroy(struct fs_server *server);

/*
 * Prepares the calling thread for fs_handle(), for its life: a private umask and
 * working directory (CLONE_FS is unshared), the user of `squash`, and kicks, which
 * interrupt requests.  Extended attributes and umasks are wrong in a thread that
 * is not prepared.
 * Threads of fs_pool_create() are prepared.  -errno, logged.
 */
int fs_thread_prepare(struct fs_server *server);

/*
 * Handles one request in @in and writes the reply to @out.  Returns the number
 * of bytes written, 0 where there is no reply (FORGET, or no space for a
 * header).  The memory is hostile, may change meanwhile, and may fault for as
 * long as it takes: no lock is held while it is touched.  At most FS_IOV_MAX
 * iovecs each; more gives an error reply.  Any number of prepared threads.
 *
 * Errors of the host are logged with the tag, the operation and the reason: one
 * line in ten seconds for each kind of error.
 */
size_t fs_handle(struct fs_server *server, const struct iovec *in,
		 unsigned int in_count, const struct iovec *out,
		 unsigned int out_count);

/*
 * Forgets the session: all inodes, handles and what INIT negotiated; for a
 * reset of the device.  No request may be running.
 */
void fs_reset(struct fs_server *server);

/*
 * What is in use now, and since fs_create() the requests, and their errors that
 * are the host's: ENOSPC, EIO and others, not ENOENT.  Any thread.
 */
struct fs_usage {
	unsigned int inodes, handles, fds;
	uint64_t requests, errors;
};
void fs_usage(struct fs_server *server, struct fs_usage *usage);

/*
 * Saves the session: no request may be running.  A file that is open and not
 * where the server saw it last (deleted, moved, replaced) is an error that names
 * it (-ESTALE, logged).  With @accept_stale it is a warning, for the first twenty
 * of such files, and all of them give ESTALE after the restore.
 */
int fs_save(struct fs_server *server, struct snap_writer *w, bool accept_stale);

/*
 * Restores a session into a server that has had no request.  Nothing is opened
 * before its first use; what is not the same file any more (device, inode
 * number, type, birth time) gives ESTALE.
 *
 * @relocated: the user named a directory for this restore.  If it is not the one
 * that was saved, it is a copy: files are found by their path, and must have the
 * same type.  Without @relocated, another directory is refused with -ESTALE.
 *
 * -EBADMSG for a malformed record, silent; else logged.  After a failure only
 * fs_destroy() may follow.
 */
int fs_restore(struct fs_server *server, struct snap_reader *r, bool relocated);

#endif
