/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Removes stale sockets: a process that was killed while its socket had the
 * temporary name "PATH.PID" leaves it behind, and the next VM at the same path
 * removes it.  One thread, before the server runs.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/ctl/private.h"

/* Whether @entry is @name, a dot, and the id of a process that is gone. */
static bool is_stale_socket(const char *entry, const char *name)
{
	size_t len = strlen(name);
	const char *number = entry + len + 1;
	char *end;
	long pid;

	if (strncmp(entry, name, len) != 0 || entry[len] != '.' ||
	    !isdigit((unsigned char)*number))
		return false;
	pid = strtol(number, &end, 10);
	return !*end && pid > 0 && pid <= INT_MAX && kill((pid_t)pid, 0) < 0 &&
	       errno == ESRCH;
}

/* Removes @entry of @dir where it is a socket of this user. */
static void remove_socket(int dir, const char *entry)
{
	struct stat st;

	if (fstatat(dir, entry, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISSOCK(st.st_mode) && st.st_uid == geteuid() &&
	    unlinkat(dir, entry, 0) == 0)
		log_info("removed stale socket %s", entry);
}

void stale_socket_remove(const char *path)
{
	/* dirname() and basename() may write, each to its own. */
	CLEANUP_FREE char *first = strdup(path);
	CLEANUP_FREE char *second = strdup(path);
	DIR *d = first && second ? opendir(dirname(first)) : NULL;
	const char *name = d ? basename(second) : NULL;
	struct dirent *entry;

	if (!d)
		return;
	while ((entry = readdir(d)))
		if (is_stale_socket(entry->d_name, name))
			remove_socket(dirfd(d), entry->d_name);
	closedir(d);
}
