/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A session begins with INIT and ends with DESTROY, a reset, or another INIT.
 * Requests that run at its end keep what they use.
 */
#ifndef VMM_FS_SESSION_H
#define VMM_FS_SESSION_H

#include "vmm/fs/server.h"

/* Ends a session if there is one, and begins one with these flags of INIT. */
void session_begin(struct fs_server *server, uint64_t flags);

/* Drops all handles and lookups; only INIT is answered afterwards. */
void session_end(struct fs_server *server);

/* Whether requests other than INIT are answered. */
bool session_is_on(struct fs_server *server);

#endif
