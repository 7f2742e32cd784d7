/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds the snapshots that depend on the target of a save, by reading the `state` of
 * each directory beside it. One that cannot be read cannot be restored either, and
 * counts for nothing.
 */
#include "vmm/snap/dependents.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/log.h"
#include "vmm/snap/file.h"
#include "vmm/snap/parse.h"
#include "vmm/snap/staging.h"

/* Reads the `state` of directory @name beside the target; false: there is none. */
static bool open_beside(struct snap_file *f, const struct snap_staging *staging,
			const char *name)
{
	return snap_open_state(f, name, staging->parent_fd, name, NULL) == 0;
}

/* Whether the snapshot in directory @name has @base as its base. */
static bool depends(const struct snap_staging *staging, const char *name,
		    const struct snap_file *base)
{
	struct snap_file f = { .path = NULL };
	uint8_t id[SNAP_ID_BYTES];
	bool is = open_beside(&f, staging, name) &&
		  snap_base_parse(&f, id) > 0 &&
		  !strcmp(f.base_name, staging->name) &&
		  !memcmp(id, base->id, sizeof(id));

	snap_close(&f);
	return is;
}

/* Whether a directory entry may be a snapshot, not a stale staging directory. */
static bool is_candidate(const struct snap_staging *staging,
			 const struct dirent *entry)
{
	return strcmp(entry->d_name, ".") != 0 &&
	       strcmp(entry->d_name, "..") != 0 &&
	       strcmp(entry->d_name, staging->name) != 0 &&
	       !snap_staging_is_temporary(entry->d_name);
}

/* Looks for a dependent of the target, which is @base. */
static int find(const struct snap_staging *staging,
		const struct snap_file *base, char name[NAME_MAX + 1])
{
	DIR *d = snap_staging_list(staging);
	struct dirent *entry;
	bool found = false;

	if (!d)
		return -errno;
	while (!found && (entry = readdir(d))) {
		found = is_candidate(staging, entry) &&
			depends(staging, entry->d_name, base);
		if (found)
			snprintf(name, NAME_MAX + 1, "%s", entry->d_name);
	}
	closedir(d);
	return found;
}

int snap_check_dependents(const struct snap_staging *staging,
			  const uint8_t id[SNAP_ID_BYTES])
{
	struct snap_file base = { .path = NULL };
	char name[NAME_MAX + 1];
	int found = 0;

	log_mute(true);
	if (open_beside(&base, staging, staging->name) &&
	    memcmp(base.id, id, sizeof(base.id)) != 0)
		found = find(staging, &base, name);
	snap_close(&base);
	log_mute(false);
	if (found < 0)
		return log_errno(-found, "snapshot %s: read the directory",
				 staging->path);
	return found ? log_fail(EMLINK,
				"snapshot %s: not replaced: it is the base of "
				"%s",
				staging->path, name) :
		       0;
}
