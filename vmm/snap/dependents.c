/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds the snapshots that depend on the target of a save, by reading the `state` of
 * each directory beside it. Links and other file systems, which may not answer, are not
 * followed. A snapshot that is corrupt, or that this user may not read, counts for
 * nothing; where the host cannot say, nothing is replaced.
 */
#include "vmm/snap/dependents.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/beneath.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/snap/file.h"
#include "vmm/snap/parse.h"
#include "vmm/snap/staging.h"

/* How often another save is waited for that replaces the same snapshot. */
#define LOCK_TRIES  500
#define LOCK_TRY_MS 10

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
 * Reads the `state` of directory @name beside the target; 0, or -errno, silent.
 * snap_close() follows in any case.
 */
static int read_beside(struct snap_file *f, const struct snap_staging *staging,
		       const char *name)
{
	CLEANUP_CLOSE int dir = open_beside(staging, name);
	int err = dir < 0 ? dir : snap_staging_check_magic(dir);

	*f = (struct snap_file){ .path = NULL };
	if (err)
		return err;
	log_mute(true);
	err = snap_open_state(f, name, dir, ".", NULL);
	log_mute(false);
	return err;
}

/* Whether @name beside the target leads to the open snapshot @f; -errno. */
static int is_named(const struct snap_staging *staging, const char *name,
		    const struct snap_file *f)
{
	struct stat st;

	if (fstatat(staging->parent_fd, name, &st, 0) < 0)
		return errno == ENOENT ? 0 : -errno;
	return st.st_dev == f->dir_dev && st.st_ino == f->dir_ino;
}

/* Whether an open snapshot, with its `state` only, has @base as its base; -errno. */
static int has_base(const struct snap_staging *staging, struct snap_file *f,
		    const struct snap_file *base)
{
	uint8_t id[SNAP_ID_BYTES];
	int r;

	log_mute(true);
	r = snap_base_parse(f, id);
	log_mute(false);
	if (r <= 0 || memcmp(id, base->id, sizeof(id)) != 0)
		return r < 0 ? r : 0;
	/* Its name for the base may be a link. */
	return !strcmp(f->base_name, staging->name) ?
		       1 :
		       is_named(staging, f->base_name, base);
}

/* Refuses if the snapshot in directory @name has @base, the target, as its base. */
static int check_one(const struct snap_staging *staging, const char *name,
		     const struct snap_file *base)
{
	struct snap_file f;
	int r = read_beside(&f, staging, name);

	if (r == 0)
		r = has_base(staging, &f, base);
	snap_close(&f);
	if (r < 0 && !snap_staging_is_nothing(r))
		return log_errno(-r,
				 "snapshot %s: not replaced: it may be the "
				 "base of %s, which cannot be read",
				 staging->path, name);
	return r > 0 ? log_fail(EMLINK,
				"snapshot %s: not replaced: it is the base of "
				"%s; remove that one first, or save elsewhere",
				staging->path, name) :
		       0;
}

/* Whether a directory entry may be a snapshot, and is not the target. */
static bool is_candidate(const struct snap_staging *staging, const char *name)
{
	return strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
	       strcmp(name, staging->name) != 0 &&
	       !snap_staging_is_temporary(name);
}

/* Logs that the directory of the target cannot be read; -errno. */
static int cannot_list(const struct snap_staging *staging)
{
	return log_errno(errno, "snapshot %s: read the directory",
			 staging->path);
}

/* Refuses if one of the snapshots beside the target, @base, depends on it. */
static int check_all(const struct snap_staging *staging,
		     const struct snap_file *base)
{
	DIR *d = snap_staging_list(staging);
	struct dirent *entry;
	int err = 0;

	if (!d)
		return cannot_list(staging);
	do {
		errno = 0;
		entry = readdir(d);
		if (!entry && errno)
			err = cannot_list(staging);
		else if (entry && is_candidate(staging, entry->d_name))
			err = check_one(staging, entry->d_name, base);
	} while (entry && !err);
	closedir(d);
	return err;
}

/*
 * Locks the `state` of an open snapshot: 0 with the descriptor, -1 where there are no
 * such locks; -EWOULDBLOCK or another -errno, silent.
 */
static int lock_state(const struct snap_file *f, int how, int *lock)
{
	CLEANUP_CLOSE int fd = openat(f->dir_fd, SNAP_STATE_NAME,
				      O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	*lock = -1;
	if (fd >= 0 && flock(fd, how | LOCK_NB) == 0)
		*lock = take_fd(&fd);
	else if (errno != EACCES && errno != EOPNOTSUPP && errno != ENOSYS &&
		 errno != EBADF && errno != EINVAL)
		return -errno;
	return 0;
}

/*
 * Locks the target, which is not to change hands meanwhile. -EAGAIN: another save has
 * replaced it, or is about to; other errors are logged.
 */
static int lock_target(const struct snap_staging *staging,
		       const struct snap_file *target, int *lock)
{
	CLEANUP_CLOSE int shared = -1;
	int r = lock_state(target, LOCK_EX, lock);

	/* Those who depend on it share their lock. */
	if (r == -EWOULDBLOCK && lock_state(target, LOCK_SH, &shared) == 0)
		return log_fail(EMLINK,
				"snapshot %s: not replaced: it is the base of "
				"one that is being saved",
				staging->path);
	if (r == -EWOULDBLOCK)
		return -EAGAIN;
	if (r == 0)
		r = is_named(staging, staging->name, target);
	if (r > 0)
		return 0;
	close_fd(lock);
	return r < 0 ? log_errno(-r, "snapshot %s: lock", staging->path) :
		       -EAGAIN;
}

/* One try; -EAGAIN as lock_target(), with @lock only. */
static int check_target(const struct snap_staging *staging,
			const uint8_t id[SNAP_ID_BYTES], int *lock)
{
	struct snap_file target;
	int err = read_beside(&target, staging, staging->name);

	if (err)
		err = snap_staging_is_nothing(err) ?
			      0 :
			      log_errno(-err, "snapshot %s: not replaced",
					staging->path);
	else if (lock)
		err = lock_target(staging, &target, lock);
	if (!err && target.path &&
	    memcmp(target.id, id, sizeof(target.id)) != 0)
		err = check_all(staging, &target);
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
	const struct timespec wait = clock_timespec(LOCK_TRY_MS * NS_PER_MS);
	int err = -EAGAIN;

	*lock = -1;
	for (int i = 0; err == -EAGAIN && i < LOCK_TRIES; i++) {
		if (i)
			nanosleep(&wait, NULL);
		err = check_target(staging, id, lock);
	}
	return err == -EAGAIN ?
		       log_fail(EINVAL,
				"snapshot %s: not replaced: another save "
				"replaces it at this moment",
				staging->path) :
		       err;
}

int snap_recheck_base(const struct snap_staging *staging, const char *name,
		      const struct snap_file *base)
{
	int r = is_named(staging, name, base);

	if (r < 0)
		return log_errno(-r, "snapshot %s: base %s", staging->path,
				 name);
	return r ? 0 :
		   log_fail(EINVAL,
			    "snapshot %s: its base %s was replaced or removed "
			    "meanwhile",
			    staging->path, name);
}

int snap_lock_base(const struct snap_staging *staging, const char *name,
		   const struct snap_file *base, int *lock)
{
	int r = lock_state(base, LOCK_SH, lock);

	if (r == -EWOULDBLOCK)
		return log_fail(EINVAL,
				"snapshot %s: its base %s is being replaced",
				staging->path, name);
	return r < 0 ? log_errno(-r, "snapshot %s: lock of base %s",
				 staging->path, name) :
		       snap_recheck_base(staging, name, base);
}
