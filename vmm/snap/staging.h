/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a snapshot is put: a temporary directory beside its target, and the
 * rename that ends it.  Within the room only.  One thread.
 */
#ifndef VMM_SNAP_STAGING_H
#define VMM_SNAP_STAGING_H

#include <stdbool.h>

struct snap_staging {
	char *path; /* the target as the user gave it, for messages; owned */
	char *name; /* its last component; owned */
	char *temporary; /* the name beside it; owned */
	int parent_fd; /* the directory that holds both */
	int dir_fd; /* the temporary one, locked while we live; -1: gone */
};

/*
 * Looks whether a snapshot can be put at @path, removes what dead savers left
 * beside it, makes the temporary directory, and where it will be exchanged with
 * another tries whether that can be done.  -errno, logged.
 */
int snap_staging_open(struct snap_staging *staging, const char *path);

/* The names of the files that a snapshot consists of. */
#define SNAP_FILE_NAMES 5
extern const char *const snap_file_names[SNAP_FILE_NAMES];

/* Puts the temporary directory in staging, synced; -errno, logged. */
int snap_staging_commit(struct snap_staging *staging);

/* Removes the temporary directory if it is still there, and frees. */
void snap_staging_close(struct snap_staging *staging);

#endif
