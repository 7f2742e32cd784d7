/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SIGBUS on an access to guest memory by this process: a mapped file was
 * truncated or cannot be read, or the host has a memory error. Instead of
 * killing the process, the handler calls the owner, and the access completes
 * with zeros.
 *
 * One watch per process at a time.
 */
#ifndef VMM_MEM_SIGBUS_H
#define VMM_MEM_SIGBUS_H

#include "vmm/mem/memory.h"

struct sigbus_watch {
	const struct memory *memory;
	/*
	 * Called in the signal handler, on the accessing thread.  No lock is
	 * held during an access to guest memory, so it may take locks and log.
	 * When it returns the page reads as zeros, so it must ensure that no
	 * vCPU enters the guest any more.
	 */
	void (*lost)(void *ctx, gpa_t gpa);
	void *ctx;
};

/*
 * Handles SIGBUS for addresses in *@watch->memory, after memory_init(). @watch
 * must stay valid until sigbus_unwatch(). Other addresses get the previous
 * action. -errno, logged.
 */
int sigbus_watch(const struct sigbus_watch *watch);

/* Call when no thread accesses the memory any more. */
void sigbus_unwatch(void);

#endif
