/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory that the kernel cannot give when this program touches it: a file
 * that is mapped has become shorter or cannot be read, or the host's memory has
 * failed.  The kernel then sends SIGBUS, which would end the process; here the
 * access goes on with zeros once the owner knows.
 *
 * One memory of the process at a time.
 */
#ifndef VMM_MEM_SIGBUS_H
#define VMM_MEM_SIGBUS_H

#include "vmm/mem/memory.h"

struct sigbus_watch {
	const struct memory *memory;
	/*
	 * Called on the thread that touched it, in the signal handler; but as
	 * no lock is held while guest memory is touched, it may take locks and
	 * log.  When it returns the page reads as zeros, so it must see to it
	 * that no vCPU enters the guest any more.
	 */
	void (*lost)(void *ctx, gpa_t gpa);
	void *ctx;
};

/*
 * Handles SIGBUS for addresses in *@watch->memory, whose memory_init() is done;
 * @watch outlives it.  For other addresses the action of before is taken.
 * -errno, logged.
 */
int sigbus_watch(const struct sigbus_watch *watch);

/* Ends that; no thread touches the memory any more. */
void sigbus_unwatch(void);

#endif
