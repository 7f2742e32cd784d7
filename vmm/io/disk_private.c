// SPDX-License-Identifier: BSD-2-Clause
/* Disks of this process alone: see disk_open_private().  Main thread. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/base/sparse.h"
#include "vmm/io/disk.h"
#include "vmm/io/overlay.h"

#define DEFAULT_FOLDER "/var/tmp" /* it may be large: not in memory */

static const char *temporary_folder(void)
{
	const char *folder = getenv("TMPDIR");

	return folder && *folder ? folder : DEFAULT_FOLDER;
}

/* A file with a name, which is removed at once: NFS has no O_TMPFILE. */
static int open_unlinked(const char *folder)
{
	CLEANUP_FREE char *path = NULL;
	int fd;

	if (asprintf(&path, "%s/thaw-disk-XXXXXX", folder) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}

/* A file without a name, of @size_bytes. */
static int open_store(uint64_t size_bytes)
{
	const char *folder = temporary_folder();
	CLEANUP_CLOSE int fd =
		open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		fd = open_unlinked(folder);
	if (fd < 0)
		return fd;
	return ftruncate(fd, (off_t)size_bytes) < 0 ? -errno : take_fd(&fd);
}

/* A clone of the file; -errno: there is none. */
static int open_clone(int base_fd, int dir_fd, uint64_t size_bytes)
{
	CLEANUP_CLOSE int fd =
		openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : sparse_clone(fd, base_fd, size_bytes);

	return r < 0 ? r : take_fd(&fd);
}

/* The same as an overlay; takes @base_fd. */
static int take_overlay(struct disk *disk, int base_fd, uint64_t size_bytes,
			const char *path)
{
	CLEANUP_CLOSE int base = base_fd;
	int fd = open_store(size_bytes), r;

	if (fd < 0)
		return log_errno(-fd,
				 "disk %s: temporary file in %s (set TMPDIR)",
				 path, temporary_folder());
	r = disk_take(disk, fd, path, false);
	if (r < 0)
		return r;
	r = overlay_create(&disk->overlay, base, disk->fd, size_bytes,
			   &disk->ending);
	if (r < 0) {
		disk_close(disk);
		return log_errno(-r, "disk %s", path);
	}
	take_fd(&base);
	disk->discard_bytes = OVERLAY_BLOCK_BYTES;
	log_info("disk %s: an overlay in %s", path, temporary_folder());
	return 0;
}

int disk_open_private(struct disk *disk, int base_fd, int dir_fd,
		      uint64_t size_bytes, const char *path)
{
	CLEANUP_CLOSE int base = base_fd;
	int fd, r;

	/* As of a disk that is only read: no VM may write to it meanwhile. */
	if (flock(base, LOCK_SH | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ?
			       log_fail(EBUSY, "disk %s: in use by another VM",
					path) :
			       log_errno(errno, "lock disk %s", path);
	fd = open_clone(base, dir_fd, size_bytes);
	if (fd >= 0) {
		r = disk_take(disk, fd, path, false);
		if (r == 0)
			log_info("disk %s: a clone", path);
	} else {
		r = take_overlay(disk, take_fd(&base), size_bytes, path);
	}
	if (r == 0)
		disk->private = true;
	return r;
}
