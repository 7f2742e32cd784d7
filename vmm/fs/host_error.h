/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors that the guest gets because of the host: its file system fails or is
 * full, a limit is reached, the directory was deleted.  They are counted, and
 * logged within a rate limit.  Any thread.
 */
#ifndef VMM_FS_HOST_ERROR_H
#define VMM_FS_HOST_ERROR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/log.h"

#define HOST_ERROR_KINDS 16 /* errno values, at most */

struct fs_server;

/* Part of a server; zeroed, and the lock initialised. */
struct host_errors {
	_Atomic uint64_t requests, count;
	/* The lock guards what follows. */
	pthread_mutex_t lock;
	bool deleted; /* the directory; reported */
	/* Of each kind of error: how many, and when to log the next. */
	struct host_error_kind {
		uint64_t count;
		struct log_rate rate;
	} kinds[HOST_ERROR_KINDS];
};

void host_error_count_request(struct fs_server *server);

/*
 * Notes that a request on a node ends with -@err.  Other errors than those above
 * have their cause in the guest.
 */
void host_error_note(struct fs_server *server, uint32_t opcode, uint64_t node,
		     int err);

#endif
