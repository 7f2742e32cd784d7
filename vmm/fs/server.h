/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server's state and one request, for the files of this room.
 */
#ifndef VMM_FS_SERVER_H
#define VMM_FS_SERVER_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/fs/creds.h"
#include "vmm/fs/decode.h"
#include "vmm/fs/fs.h"
#include "vmm/fs/handle.h"
#include "vmm/fs/host_error.h"
#include "vmm/fs/inode.h"
#include "vmm/fs/running.h"
#include "vmm/fs/span.h"

/* Mounted file systems inside the share whose inode numbers are kept apart. */
#define SERVER_DEVS_MAX 1024

struct fs_server {
	/* Constant after fs_create(). */
	struct fs_config config; /* path owned, no tag */
	char *label; /* for messages: tag and path */
	struct creds creds;
	int proc_fd; /* O_PATH of /proc/self/fd */
	int mount_fd; /* the directory, for open_by_handle_at(); -1: not possible */
	/* The flags that INIT negotiated, and a bit of session.c; 0: none. */
	_Atomic uint64_t session;
	struct inode_table inodes;
	struct handle_table handles;
	/* The file systems seen, the share's first; only grows, by the lock. */
	pthread_mutex_t devs_lock;
	uint64_t devs[SERVER_DEVS_MAX];
	unsigned int dev_count;
	struct host_errors errors;
	struct running_list running;
	uint64_t saves; /* calls of fs_save() */
};

/* A request while it runs; belongs to its thread. */
struct request {
	struct fs_server *server;
	struct fuse_in_header head;
	struct running running;
	struct args args;
	struct span data; /* what follows the arguments of a WRITE */
	struct span reply; /* what follows the reply's header */
};

/*
 * Handles an operation: puts the reply's contents into @rq->reply and returns
 * their length, or -errno, which the guest gets.
 */
typedef ssize_t request_handler(struct request *rq);

/* Puts the contents of a reply; for the result of a handler. */
static inline ssize_t request_reply(struct request *rq, const void *p,
				    size_t len)
{
	return span_put(&rq->reply, p, len) ? (ssize_t)len : -ERANGE;
}

/* Whether the guest and the server have agreed on a flag of INIT. */
static inline bool server_has(struct fs_server *server, uint64_t flag)
{
	return atomic_load_explicit(&server->session, memory_order_relaxed) &
	       flag;
}

#endif
