/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of the file server need of the host kernel. */
#ifndef TESTS_UNIT_FS_SKIP_H
#define TESTS_UNIT_FS_SKIP_H

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SKIPPED 77 /* exit status of a skipped test */

/*
 * Whether openat2(2) is missing, after a line that says so: the user mode
 * emulation of QEMU 7.2 does not have it, and fs_create() refuses then.
 */
static inline bool has_no_openat2(void)
{
	const struct open_how how = { .flags = O_PATH | O_CLOEXEC };
	long fd = syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof(how));

	if (fd >= 0)
		close((int)fd);
	if (fd >= 0 || errno != ENOSYS)
		return false;
	puts("no openat2(2) here");
	return true;
}

#endif
