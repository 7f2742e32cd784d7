/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opens files in a snapshot's directory that are not part of the snapshot, such
 * as the guest's disks. The directory is untrusted, so the kernel confines path
 * resolution to it: no ".." and no link leads out.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/beneath.h"
#include "vmm/base/cleanup.h"
#include "vmm/snap/file.h"
#include "vmm/snap/parse.h"
#include "vmm/snap/staging.h"

/*
 * Whether @st is the file @name of the snapshot, whatever path led to it: "./memory",
 * or a link.
 */
static bool is_file(const struct snap_file *f, const char *name,
		    const struct stat *st)
{
	struct stat own;

	return !fstatat(f->dir_fd, name, &own, AT_SYMLINK_NOFOLLOW) &&
	       own.st_dev == st->st_dev && own.st_ino == st->st_ino;
}

bool snap_is_disk(const struct snap_file *f, const struct stat *st)
{
	char disk[SNAP_DISK_NAME_BYTES];

	for (unsigned int i = 0; i < SNAP_DISKS_MAX; i++)
		if (f->disk_bytes[i] && is_file(f, snap_disk_name(disk, i), st))
			return true;
	return false;
}

/* Whether @st is one of the snapshot's own files. */
static bool is_own(const struct snap_file *f, const struct stat *st)
{
	for (size_t i = 0; i < SNAP_FILE_NAMES; i++)
		if (is_file(f, snap_file_names[i], st))
			return true;
	return snap_is_disk(f, st);
}

int snap_open_inside(const struct snap_file *f, const char *path, int flags)
{
	CLEANUP_CLOSE int fd = -1;
	struct stat st;

	/* Opening a FIFO must not block before it is refused. */
	if (!(flags & O_PATH))
		flags |= O_NONBLOCK | O_NOCTTY;
	fd = open_beneath(f->dir_fd, path, flags, 0, 0);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (is_own(f, &st))
		return -EPERM;
	/* A device node would lead out of the directory, too. */
	return S_ISREG(st.st_mode) ? take_fd(&fd) : -EXDEV;
}
