// SPDX-License-Identifier: BSD-2-Clause
/* See the header.  Any thread; the tables have their locks. */
#include "vmm/fs/session.h"

/* Set in every session's flags, so that they are never 0. */
#define SESSION_ON (UINT64_C(1) << 63)

void session_begin(struct fs_server *server, uint64_t flags)
{
	session_end(server);
	atomic_store_explicit(&server->session, flags | SESSION_ON,
			      memory_order_relaxed);
}

void session_end(struct fs_server *server)
{
	atomic_store_explicit(&server->session, 0, memory_order_relaxed);
	handle_release_all(&server->handles);
	inode_forget_all(&server->inodes);
}

bool session_is_on(struct fs_server *server)
{
	return atomic_load_explicit(&server->session, memory_order_relaxed);
}
