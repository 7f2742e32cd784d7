/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The staging directory of a snapshot, beside its target, and the rename that
 * moves it into place. For this room only. One thread.
 */
#ifndef VMM_SNAP_STAGING_H
#define VMM_SNAP_STAGING_H

#include <dirent.h>
#include <stdbool.h>

struct snap_staging {
	char *path; /* the target as the user gave it, for messages; owned */
	char *name; /* its last component; owned */
	char *temporary; /* name of the staging directory; owned */
	int parent_fd; /* the parent of both */
	int dir_fd; /* the staging directory, locked; -1: gone */
};

/*
 * Checks that a snapshot can be created at @path, removes stale staging
 * directories, creates a new one, and if an old snapshot exists checks that the
 * file system can exchange them. -errno, logged.
 */
int snap_staging_open(struct snap_staging *staging, const char *path);

/* Whether @name has the form of a staging directory's, of any target. */
bool snap_staging_is_temporary(const char *name);

/* 0: the directory has a `state` with the right magic; else -errno, silent. */
int snap_staging_check_magic(int dir);

/*
 * Whether the -errno of looking for a snapshot says that there is none which this user
 * could restore; else the host cannot say.
 */
bool snap_staging_is_nothing(int err);

/* Lists the directory that the target is in; NULL and errno. */
DIR *snap_staging_list(const struct snap_staging *staging);

/* The file names of a snapshot, but for those of copies of disks. */
#define SNAP_FILE_NAMES 5
extern const char *const snap_file_names[SNAP_FILE_NAMES];

/* Syncs the staging directory; -errno, logged. */
int snap_staging_sync(const struct snap_staging *staging);

/* Moves it into place after that; -errno, logged. */
int snap_staging_commit(struct snap_staging *staging);

/* Removes the staging directory if it still exists, and frees. */
void snap_staging_close(struct snap_staging *staging);

#endif
