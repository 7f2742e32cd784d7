/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds the snapshots that depend on the target of a save, by reading the `state` of
 * each directory beside it. Links and other file systems, which may not answer, are not
 * followed: a base is a directory beside the snapshot. One that is corrupt, or that this
 * user may not read, counts for nothing; where the host cannot say, nothing is replaced.
 */
#include "vmm/snap/dependents.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "vmm/base/beneath.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/snap/file.h"
#include "vmm/snap/parse.h"
#include "vmm/snap/staging.h"

/* Opens directory @name beside the target; the descriptor, or -errno. */
static int open_beside(const struct snap_staging *staging, const char *name)
{
	int fd = open_beneath(staging->parent_fd, name, O_RDONLY | O_DIRECTORY,
			      0, RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);

	/* Containers may refuse a system call that they do not know. */
	if (fd != -ENOSYS && fd != -EPERM)
		return fd;
	fd = openat(staging->parent_fd, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/*
 * Reads the `state` of a directory, whose descriptor this closes, unless it is -errno;
 * 0 or -errno, silent.
 */
static int read_state(struct snap_file *f, int fd)
{
	CLEANUP_CLOSE int dir = fd;
	int err = dir < 0 ? dir : snap_staging_check_magic(dir);

	if (err)
		return err;
	log_mute(true);
	err = snap_open_state(f, ".", dir, ".", NULL);
	log_mute(false);
	return err;
}

/* Whether the error says that there is no snapshot that could be restored. */
static bool is_no_snapshot(int err)
{
	return err != -EMFILE && err != -ENFILE && err != -ENOMEM &&
	       err != -EIO && err != -EPROTONOSUPPORT;
}

/* Whether the snapshot in directory @name has @base as its base; -errno. */
static int depends(const struct snap_staging *staging, const char *name,
		   const struct snap_file *base)
{
	struct snap_file f = { .path = NULL };
	uint8_t id[SNAP_ID_BYTES];
	int r = read_state(&f, open_beside(staging, name));

	if (r == 0) {
		log_mute(true);
		r = snap_base_parse(&f, id) > 0 &&
		    !strcmp(f.base_name, staging->name) &&
		    !memcmp(id, base->id, sizeof(id));
		log_mute(false);
	} else if (is_no_snapshot(r)) {
		r = 0;
	}
	if (f.path)
		snap_close(&f);
	return r;
}

/* Whether a directory entry may be a snapshot, and is not the target. */
static bool is_candidate(const struct snap_staging *staging, const char *name)
{
	return strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
	       strcmp(name, staging->name) != 0 &&
	       !snap_staging_is_temporary(name);
}

/* Refuses if the directory entry is a dependent of the target, which is @base. */
static int check_entry(const struct snap_staging *staging, const char *name,
		       const struct snap_file *base)
{
	int r = is_candidate(staging, name) ? depends(staging, name, base) : 0;

	if (r < 0)
		return log_errno(-r,
				 "snapshot %s: not replaced: it may be the "
				 "base of %s, which cannot be read",
				 staging->path, name);
	return r ? log_fail(EMLINK,
			    "snapshot %s: not replaced: it is the base of %s",
			    staging->path, name) :
		   0;
}

static int check_all(const struct snap_staging *staging,
		     const struct snap_file *base)
{
	DIR *d = snap_staging_list(staging);
	struct dirent *entry;
	int err = 0;

	if (!d)
		return log_errno(errno, "snapshot %s: read the directory",
				 staging->path);
	do {
		errno = 0;
		entry = readdir(d);
		if (entry)
			err = check_entry(staging, entry->d_name, base);
		else if (errno)
			err = log_errno(errno,
					"snapshot %s: read the directory",
					staging->path);
	} while (entry && !err);
	closedir(d);
	return err;
}

/* Locks the `state` of an open snapshot; the descriptor, -1: no such lock. */
static int lock_state(const struct snap_file *f, int how)
{
	CLEANUP_CLOSE int fd = openat(f->dir_fd, SNAP_STATE_NAME,
				      O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (flock(fd, how | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EWOULDBLOCK : -1;
	return take_fd(&fd);
}

/* Checks the target, and locks it if @lock is not NULL. */
static int check_target(const struct snap_staging *staging,
			const uint8_t id[SNAP_ID_BYTES], int *lock)
{
	struct snap_file target = { .path = NULL };
	int err = read_state(&target, open_beside(staging, staging->name));

	if (err) {
		err = is_no_snapshot(err) ?
			      0 :
			      log_errno(-err, "snapshot %s: not replaced",
					staging->path);
	} else if (memcmp(target.id, id, sizeof(target.id)) != 0) {
		if (lock)
			*lock = lock_state(&target, LOCK_EX);
		if (lock && *lock == -EWOULDBLOCK)
			err = log_fail(EMLINK,
				       "snapshot %s: not replaced: it is the "
				       "base of one that is being saved",
				       staging->path);
		else
			err = check_all(staging, &target);
	}
	if (target.path)
		snap_close(&target);
	return err;
}

int snap_check_dependents(const struct snap_staging *staging,
			  const uint8_t id[SNAP_ID_BYTES])
{
	return check_target(staging, id, NULL);
}

int snap_lock_target(const struct snap_staging *staging,
		     const uint8_t id[SNAP_ID_BYTES], int *lock)
{
	*lock = -1;
	return check_target(staging, id, lock);
}

int snap_recheck_base(const struct snap_staging *staging, const char *name,
		      const struct snap_file *base)
{
	struct snap_file now = { .path = NULL };
	/* As a restore opens it. */
	int fd = openat(staging->parent_fd, name,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = read_state(&now, fd < 0 ? -errno : fd);
	bool same = !err && !memcmp(now.id, base->id, sizeof(now.id));

	if (now.path)
		snap_close(&now);
	return same ? 0 :
		      log_fail(EINVAL,
			       "snapshot %s: its base %s was replaced "
			       "or removed meanwhile",
			       staging->path, name);
}

int snap_lock_base(const struct snap_staging *staging, const char *name,
		   const struct snap_file *base, int *lock)
{
	*lock = lock_state(base, LOCK_SH);
	if (*lock == -EWOULDBLOCK)
		return log_fail(EINVAL,
				"snapshot %s: its base %s is being "
				"replaced",
				staging->path, name);
	return snap_recheck_base(staging, name, base);
}
