/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of what the file server does for root, and for an ordinary user. */
#ifndef TESTS_UNIT_FS_USERS_H
#define TESTS_UNIT_FS_USERS_H

#include <grp.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/fs/skip.h"

/* The user and group of an ordinary user without files. */
#define OTHER_ID 65534

/*
 * Runs a group of tests as OTHER_ID and then one as root, or only the former if
 * this process is not root; an exit status.
 */
static inline int run_as_users(int (*unprivileged)(void),
			       int (*privileged)(void))
{
	int status;
	pid_t pid;

	if (has_no_openat2())
		return SKIPPED;
	if (geteuid() != 0)
		return unprivileged();
	pid = fork();
	if (pid == 0) {
		if (setgroups(0, NULL) || setgid(OTHER_ID) || setuid(OTHER_ID))
			_exit(1);
		_exit(unprivileged());
	}
	if (waitpid(pid, &status, 0) != pid || status)
		return 1;
	return privileged();
}

#endif
