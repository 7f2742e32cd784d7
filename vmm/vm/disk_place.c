/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The disks of a snapshot.  Their paths in it are untrusted, as they may name any
 * file of this host: only files in the snapshot's directory are accepted.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/snap/file.h"
#include "vmm/vm/snapshot.h"

/* The last component of a path. */
static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* What follows the directory of the snapshot in @path, or NULL. */
static const char *below(const struct snap_file *file, const char *path)
{
	CLEANUP_FREE char *dir = realpath(file->path, NULL);
	size_t len = dir ? strlen(dir) : 0;

	if (!len || strncmp(path, dir, len) != 0 || path[len] != '/')
		return NULL;
	path += len;
	return path + strspn(path, "/");
}

/* Whether no other disk of the snapshot has a file name like number @n. */
static bool name_is_unique(const struct vm_description *d, unsigned int n)
{
	const char *name = base_name(d->disks[n].path);

	for (unsigned int i = 0; i < d->disk_count; i++)
		if (i != n && !strcmp(base_name(d->disks[i].path), name))
			return false;
	return *name != '\0';
}

const char *vm_disk_inside(const struct snap_file *file,
			   const struct vm_description *d, unsigned int n)
{
	const char *path = d->disks[n].path;
	const char *inside = *path == '/' ? below(file, path) : path;
	int fd;

	if (!inside && name_is_unique(d, n))
		inside = base_name(path);
	fd = inside ? snap_open_inside(file, inside, O_PATH) : -ENOENT;
	if (fd < 0)
		return NULL;
	close(fd);
	return inside;
}
