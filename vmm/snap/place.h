/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a snapshot is put: a temporary directory beside its target, and the
 * rename that ends it.  Within the room only.  One thread.
 */
#ifndef VMM_SNAP_PLACE_H
#define VMM_SNAP_PLACE_H

#include <stdbool.h>

struct snap_place {
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
int snap_place_open(struct snap_place *place, const char *path);

/* The names of the files that a snapshot consists of. */
#define SNAP_FILE_NAMES 5
extern const char *const snap_file_names[SNAP_FILE_NAMES];

/* Puts the temporary directory in place, synced; -errno, logged. */
int snap_place_commit(struct snap_place *place);

/* Removes the temporary directory if it is still there, and frees. */
void snap_place_close(struct snap_place *place);

#endif
