/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef GUEST_INIT_SEARCH_H
#define GUEST_INIT_SEARCH_H

/*
 * Executes argv[0], which is searched for in the PATH of @env unless it has a
 * slash; without a PATH it is not found. Like execvp(), a text file that is no
 * program is given to /bin/sh; other files that are none fail with ENOEXEC. Returns
 * only on failure: -errno.
 */
int search_exec(char *const argv[], char *const env[]);

#endif
