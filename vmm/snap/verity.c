/* SPDX-License-Identifier: BSD-2-Clause */
/* fs-verity: one request enables it, one shows it.  Any thread. */
#include "vmm/snap/verity.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fsverity.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/snap/format.h"

/* 0, -ENOTTY: not supported, or another -errno. */
static int enable(int fd)
{
	/* Blocks of a page: a corrupt one makes one page unreadable. */
	struct fsverity_enable_arg arg = {
		.version = 1,
		.hash_algorithm = FS_VERITY_HASH_ALG_SHA256,
		.block_size = SNAP_PAGE_BYTES,
	};

	if (!ioctl(fd, FS_IOC_ENABLE_VERITY, &arg))
		return 0;
	switch (errno) {
	case EOPNOTSUPP: /* by this file system, or by this kernel */
	case ENOTTY: /* by this type of file system */
	case ENOSYS:
	case EINVAL: /* this block size; the rest of arg is always valid */
		return -ENOTTY;
	default:
		return -errno;
	}
}

int snap_verity_enable(int dir, const char *path)
{
	/* The kernel requires a descriptor for reading only. */
	CLEANUP_CLOSE int fd = openat(dir, SNAP_MEMORY_NAME,
				      O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int err = fd < 0 ? -errno : enable(fd);

	if (!err && fsync(fd))
		err = -errno;
	if (err == -ENOTTY)
		return log_fail(ENOTTY,
				"%s/%s: no fs-verity: the kernel or this file "
				"system does not support it, or it is not "
				"enabled there: use ext4 with 'tune2fs -O "
				"verity DEVICE' or 'mke2fs -O verity DEVICE', "
				"f2fs, or btrfs",
				path, SNAP_MEMORY_NAME);
	return err ? log_errno(-err, "%s/%s: enable fs-verity", path,
			       SNAP_MEMORY_NAME) :
		     0;
}

int snap_verity_probe(int dir, const char *path)
{
	int fd = openat(dir, SNAP_MEMORY_NAME,
			O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			0600);
	ssize_t n;
	int err;

	if (fd < 0)
		return log_errno(errno, "%s/%s: create", path,
				 SNAP_MEMORY_NAME);
	n = write(fd, "", 1);
	err = n < 0 ? errno : 0;
	close(fd);
	if (err)
		return log_errno(err, "%s/%s: write", path, SNAP_MEMORY_NAME);
	err = snap_verity_enable(dir, path);
	unlinkat(dir, SNAP_MEMORY_NAME, 0);
	return err;
}

bool snap_verity_is_enabled(int fd)
{
	struct statx st;

	return !statx(fd, "", AT_EMPTY_PATH, 0, &st) &&
	       (st.stx_attributes & STATX_ATTR_VERITY);
}
