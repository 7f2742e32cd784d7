// SPDX-License-Identifier: BSD-2-Clause
/*
 * A library for LD_PRELOAD: unshare(2) without the namespace for System V IPC, which
 * the rig's kernel is built without and passt asks for.
 */
#include <linux/sched.h>
#include <sys/syscall.h>
#include <unistd.h>

int unshare(int flags);

int unshare(int flags)
{
	return (int)syscall(SYS_unshare, flags & ~CLONE_NEWIPC);
}
