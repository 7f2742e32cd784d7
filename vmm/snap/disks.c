/* SPDX-License-Identifier: BSD-2-Clause */
/* The copies of disks: files of the snapshot, each with its number in its name. */
#include <unistd.h>

#include "vmm/snap/file.h"
#include "vmm/snap/parse.h"

int snap_open_disk(const struct snap_file *f, unsigned int n)
{
	char name[SNAP_DISK_NAME_BYTES];
	uint64_t bytes;
	int fd;

	fd = snap_open_file(f, snap_disk_name(name, n), &bytes);
	if (fd < 0 || bytes == f->disk_bytes[n])
		return fd;
	close(fd);
	return snap_bad(f, name,
			bytes < f->disk_bytes[n] ? "truncated" :
						   "larger than the disk");
}

int snap_check_disks(const struct snap_file *f)
{
	for (unsigned int i = 0; i < SNAP_DISKS_MAX; i++) {
		int fd = f->disk_bytes[i] ? snap_open_disk(f, i) : -1;

		if (fd >= 0)
			close(fd);
		else if (f->disk_bytes[i])
			return fd;
	}
	return 0;
}
