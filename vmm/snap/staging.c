/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The staging directory is named ".NAME.XXXXXXXX.tmp", and its saver holds a
 * lock (flock) on it. If the lock is free, the saver is gone, or the directory
 * is an old snapshot that could not be removed after the exchange; the next
 * save to the same place removes it.
 */
#include "vmm/snap/staging.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/snap/file.h"
#include "vmm/snap/parse.h"

#define RANDOM_DIGITS 8
#define SUFFIX_BYTES  (1 + RANDOM_DIGITS + 4) /* ".XXXXXXXX.tmp" */
#define NAME_TRIES    16

/* The state of the target before the save. */
enum occupant {
	NOTHING,
	EMPTY_FOLDER,
	SNAPSHOT,
	SNAPSHOT_AND_MORE,
	SNAPSHOT_IN_USE,
	SOMETHING_ELSE,
};

/* The files of a snapshot. Only these and copies of disks are ever removed. */
const char *const snap_file_names[SNAP_FILE_NAMES] = {
	SNAP_STATE_NAME,      SNAP_MEMORY_NAME,		 SNAP_PAGES_NAME,
	SNAP_WORKINGSET_NAME, SNAP_WORKINGSET_TEMPORARY,
};

/*
 * Removes the files of a snapshot in directory @name of @parent, then the directory;
 * -ENOTEMPTY if it has other files, which stay.
 */
static int remove_dir(int parent, const char *name)
{
	CLEANUP_CLOSE int dir =
		openat(parent, name,
		       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0)
		return -errno;
	for (size_t i = 0; i < SNAP_FILE_NAMES; i++)
		unlinkat(dir, snap_file_names[i], 0);
	for (unsigned int i = 0; i < SNAP_DISKS_MAX; i++) {
		char disk[SNAP_DISK_NAME_BYTES];

		unlinkat(dir, snap_disk_name(disk, i), 0);
	}
	return unlinkat(parent, name, AT_REMOVEDIR) ? -errno : 0;
}

/*
 * Whether @name is the name of a file of a snapshot, whose copies of disks are those
 * of @own.
 */
static bool is_own(const char *name, const struct snap_file *own)
{
	for (size_t i = 0; i < SNAP_FILE_NAMES; i++)
		if (!strcmp(name, snap_file_names[i]))
			return true;
	return snap_disk_number(own, name) >= 0;
}

/* Lists a directory; NULL and errno. */
static DIR *list(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		close(fd);
	return d;
}

/* Whether @dir is empty, apart from the files of the snapshot @own unless NULL. */
static bool dir_holds_only(int dir, const struct snap_file *own)
{
	DIR *d = list(dir);
	struct dirent *entry;
	unsigned int others = 0;

	if (!d)
		return false;
	while (!others && (entry = readdir(d)))
		others += strcmp(entry->d_name, ".") != 0 &&
			  strcmp(entry->d_name, "..") != 0 &&
			  !(own && is_own(entry->d_name, own));
	closedir(d);
	return !others;
}

int snap_staging_check_magic(int dir)
{
	CLEANUP_CLOSE int fd =
		openat(dir, SNAP_STATE_NAME,
		       O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char magic[SNAP_MAGIC_BYTES];
	ssize_t n = fd < 0 ? -1 : pread(fd, magic, sizeof(magic), 0);

	if (n < 0)
		return -errno;
	return n == sizeof(magic) &&
			       !memcmp(magic, SNAP_STATE_MAGIC, sizeof(magic)) ?
		       0 :
		       -ENOENT;
}

/*
 * Whether a snapshot is all that is in its directory.  A file with the name of a copy
 * of a disk may be the user's, so its `state` is read where there are other files; a
 * bad one has none, and is logged.
 */
static bool is_only_snapshot(const struct snap_staging *staging, int dir)
{
	struct snap_file own = { .path = NULL };
	bool only = dir_holds_only(dir, &own);

	if (only)
		return true;
	only = snap_open_state(&own, staging->path, staging->parent_fd,
			       staging->name, NULL) == 0 &&
	       dir_holds_only(dir, &own);
	snap_close(&own);
	return only;
}

/*
 * Whether a copy of a disk in a snapshot is a disk that a VM writes to, which holds a
 * lock on it: the guest would lose it with the snapshot.  Those that a restore only
 * reads go on without a name.
 */
static bool has_disk_in_use(int dir)
{
	bool used = false;

	for (unsigned int i = 0; !used && i < SNAP_DISKS_MAX; i++) {
		char disk[SNAP_DISK_NAME_BYTES];
		CLEANUP_CLOSE int fd = -1;

		fd = openat(dir, snap_disk_name(disk, i),
			    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		used = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 &&
		       errno == EWOULDBLOCK;
	}
	return used;
}

/* Examines the target: an enum occupant, or -errno. */
static int look_at_target(const struct snap_staging *staging)
{
	CLEANUP_CLOSE int dir =
		openat(staging->parent_fd, staging->name,
		       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int err;

	if (dir < 0) {
		if (errno == ENOENT)
			return NOTHING;
		return errno == ENOTDIR || errno == ELOOP ? SOMETHING_ELSE :
							    -errno;
	}
	err = snap_staging_check_magic(dir);
	if (err && !snap_staging_is_nothing(err))
		return err;
	if (!err) {
		if (!is_only_snapshot(staging, dir))
			return SNAPSHOT_AND_MORE;
		return has_disk_in_use(dir) ? SNAPSHOT_IN_USE : SNAPSHOT;
	}
	return dir_holds_only(dir, NULL) ? EMPTY_FOLDER : SOMETHING_ELSE;
}

/*
 * Examines the target and refuses to replace anything but a snapshot or an
 * empty directory.
 */
static int check_target(const struct snap_staging *staging)
{
	int what = look_at_target(staging);

	if (what < 0)
		return log_errno(-what, "snapshot %s", staging->path);
	if (what == SOMETHING_ELSE)
		return log_fail(EEXIST,
				"snapshot %s: exists and is not a snapshot; "
				"not replaced",
				staging->path);
	/* Replacing the snapshot would remove the other files. */
	if (what == SNAPSHOT_AND_MORE)
		return log_fail(ENOTEMPTY,
				"snapshot %s: contains files that are not "
				"part of a snapshot; not replaced",
				staging->path);
	if (what == SNAPSHOT_IN_USE)
		return log_fail(ETXTBSY,
				"snapshot %s: a VM uses its copy of a disk as "
				"its own disk; not replaced",
				staging->path);
	return what;
}

bool snap_staging_is_nothing(int err)
{
	static const int nothing[] = { ENOENT, ENOTDIR,	    ELOOP,  EXDEV,
				       EACCES, EBADMSG,	    ESPIPE, EISDIR,
				       ENXIO,  ENAMETOOLONG };

	for (size_t i = 0; i < ARRAY_SIZE(nothing); i++)
		if (err == -nothing[i])
			return true;
	return false;
}

bool snap_staging_is_temporary(const char *name)
{
	size_t len = strlen(name);
	const char *end = name + len - SUFFIX_BYTES;

	return *name == '.' && len > SUFFIX_BYTES + 1 && *end == '.' &&
	       strspn(end + 1, "0123456789abcdef") == RANDOM_DIGITS &&
	       !strcmp(end + 1 + RANDOM_DIGITS, ".tmp");
}

/* Whether @entry is ".NAME.XXXXXXXX.tmp". */
static bool is_temporary(const char *entry, const char *name)
{
	size_t len = strlen(name);

	return snap_staging_is_temporary(entry) &&
	       strlen(entry) == 1 + len + SUFFIX_BYTES &&
	       !strncmp(entry + 1, name, len);
}

DIR *snap_staging_list(const struct snap_staging *staging)
{
	return list(staging->parent_fd);
}

/* Removes staging directories without a lock: their saver is gone. */
static void remove_stale(const struct snap_staging *staging)
{
	DIR *d = list(staging->parent_fd);
	struct dirent *entry;

	if (!d)
		return;
	while ((entry = readdir(d))) {
		CLEANUP_CLOSE int dir = -1;

		if (!is_temporary(entry->d_name, staging->name))
			continue;
		dir = openat(staging->parent_fd, entry->d_name,
			     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (dir >= 0 && !flock(dir, LOCK_EX | LOCK_NB) &&
		    !remove_dir(staging->parent_fd, entry->d_name))
			log_info("removed stale staging directory %s",
				 entry->d_name);
	}
	closedir(d);
}

/* Tries one random name; -EEXIST: try another. */
static int try_temporary(struct snap_staging *staging)
{
	struct stat st;
	uint32_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return -EIO;
	free(staging->temporary);
	if (asprintf(&staging->temporary, ".%s.%08x.tmp", staging->name,
		     number) < 0) {
		staging->temporary = NULL;
		return -ENOMEM;
	}
	if (mkdirat(staging->parent_fd, staging->temporary, 0700))
		return -errno;
	staging->dir_fd =
		openat(staging->parent_fd, staging->temporary,
		       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (staging->dir_fd < 0)
		return -errno;
	/* Before it is locked, another saver may consider it stale. */
	if (flock(staging->dir_fd, LOCK_EX | LOCK_NB) ||
	    fstat(staging->dir_fd, &st) || st.st_nlink == 0) {
		close(staging->dir_fd);
		staging->dir_fd = -1;
		return -EEXIST;
	}
	return 0;
}

/* Splits the path into the opened parent and the last component. */
static int split_path(struct snap_staging *staging, const char *path)
{
	CLEANUP_FREE char *copy = strdup(path);
	char *slash;
	size_t len;

	staging->path = strdup(path);
	if (!copy || !staging->path)
		return log_errno(ENOMEM, "snapshot");
	for (len = strlen(copy); len > 1 && copy[len - 1] == '/'; len--)
		copy[len - 1] = '\0';
	slash = strrchr(copy, '/');
	staging->name = strdup(slash ? slash + 1 : copy);
	if (!staging->name)
		return log_errno(ENOMEM, "snapshot");
	/* A save would take one with a staging directory's name for a stale one. */
	if (!*staging->name || !strcmp(staging->name, ".") ||
	    !strcmp(staging->name, "..") ||
	    snap_staging_is_temporary(staging->name))
		return log_fail(EINVAL,
				"snapshot %s: not a valid directory name",
				path);
	/* The staging name must fit, too. */
	if (strlen(staging->name) > NAME_MAX - RANDOM_DIGITS - 6)
		return log_errno(ENAMETOOLONG, "snapshot %s", path);
	if (slash)
		slash[slash == copy] = '\0';
	staging->parent_fd =
		open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (staging->parent_fd < 0)
		return log_errno(errno, "snapshot %s: open directory %s", path,
				 slash ? copy : ".");
	return 0;
}

/* Creates the empty file @name in the staging directory; 0 or -errno. */
static int make_empty(const struct snap_staging *staging, const char *name)
{
	CLEANUP_CLOSE int fd =
		openat(staging->dir_fd, name,
		       O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : 0;
}

/* Logs that the file system lacks RENAME_EXCHANGE; -EOPNOTSUPP. */
static int cannot_exchange(const struct snap_staging *staging)
{
	return log_fail(EOPNOTSUPP,
			"snapshot %s: this file system does not support "
			"atomic exchange; remove the old snapshot first",
			staging->path);
}

/*
 * Tries the exchange of the commit on two empty files in the staging directory,
 * to detect a file system without it before guest memory is written. The files
 * have names of snapshot files, so cleanup removes them as well.
 */
static int probe_exchange(const struct snap_staging *staging)
{
	int dir = staging->dir_fd;
	int err = make_empty(staging, SNAP_PAGES_NAME);

	if (!err)
		err = make_empty(staging, SNAP_STATE_NAME);
	if (!err && renameat2(dir, SNAP_PAGES_NAME, dir, SNAP_STATE_NAME,
			      RENAME_EXCHANGE))
		err = -errno;
	unlinkat(dir, SNAP_PAGES_NAME, 0);
	unlinkat(dir, SNAP_STATE_NAME, 0);
	if (err == -EINVAL || err == -ENOSYS || err == -EOPNOTSUPP)
		return cannot_exchange(staging);
	return err ? log_errno(-err, "snapshot %s: create staging directory",
			       staging->path) :
		     0;
}

/* Creates the staging directory beside the target. */
int snap_staging_open(struct snap_staging *staging, const char *path)
{
	int what, err;

	*staging = (struct snap_staging){ .parent_fd = -1, .dir_fd = -1 };
	err = split_path(staging, path);
	if (err)
		return err;
	what = check_target(staging);
	if (what < 0)
		return what;
	remove_stale(staging);
	for (int i = 0; i < NAME_TRIES; i++) {
		err = try_temporary(staging);
		if (err != -EEXIST)
			break;
	}
	if (err)
		return log_errno(-err, "snapshot %s: create staging directory",
				 path);
	return what == SNAPSHOT ? probe_exchange(staging) : 0;
}

/* Exchanges the new snapshot with the old one and removes the old one. */
static int exchange(struct snap_staging *staging)
{
	int err;

	if (renameat2(staging->parent_fd, staging->temporary,
		      staging->parent_fd, staging->name, RENAME_EXCHANGE)) {
		err = errno;
		if (err == EINVAL)
			return cannot_exchange(staging);
		return log_errno(err, "snapshot %s: replace", staging->path);
	}
	if (fsync(staging->parent_fd))
		return log_errno(errno, "snapshot %s: sync parent directory",
				 staging->path);
	err = remove_dir(staging->parent_fd, staging->temporary);
	if (err)
		log_warn("snapshot %s: old snapshot not removed, left as %s: "
			 "%s",
			 staging->path, staging->temporary, strerror(-err));
	return 0;
}

/*
 * Renames the new snapshot into place, where nothing or an empty directory is.
 */
static int rename_into_place(struct snap_staging *staging, unsigned int flags)
{
	int r = renameat2(staging->parent_fd, staging->temporary,
			  staging->parent_fd, staging->name, flags);

	/*
	 * The flag is not supported. A plain rename also fails over anything
	 * but an empty directory.
	 */
	if (r && errno == EINVAL && flags)
		r = renameat(staging->parent_fd, staging->temporary,
			     staging->parent_fd, staging->name);
	if (r)
		return log_errno(errno, "snapshot %s: rename", staging->path);
	if (fsync(staging->parent_fd))
		return log_errno(errno, "snapshot %s: sync parent directory",
				 staging->path);
	return 0;
}

int snap_staging_sync(const struct snap_staging *staging)
{
	return fsync(staging->dir_fd) ?
		       log_errno(errno, "snapshot %s: sync", staging->path) :
		       0;
}

int snap_staging_commit(struct snap_staging *staging)
{
	int what, err;

	what = check_target(staging);
	if (what < 0)
		return what;
	if (what == SNAPSHOT)
		err = exchange(staging);
	else
		err = rename_into_place(staging,
					what == NOTHING ? RENAME_NOREPLACE : 0);
	if (err)
		return err;
	close(staging->dir_fd);
	staging->dir_fd = -1;
	return 0;
}

void snap_staging_close(struct snap_staging *staging)
{
	if (staging->dir_fd >= 0) {
		remove_dir(staging->parent_fd, staging->temporary);
		close(staging->dir_fd);
	}
	if (staging->parent_fd >= 0)
		close(staging->parent_fd);
	free(staging->path);
	free(staging->name);
	free(staging->temporary);
}
