/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The new root is put together below SCRATCH, which is a tmpfs over a directory
 * that the initramfs has and the init no longer needs; so nothing is written to
 * the initramfs. The tmpfs is also the upper layer of the overlay:
 *
 *	SCRATCH/lower	the root share
 *	SCRATCH/upper, SCRATCH/work
 *	SCRATCH/root	the overlay, or the root share itself
 *
 * root is then moved over "/" (Documentation/filesystems/
 * ramfs-rootfs-initramfs.rst: an initramfs cannot be left by pivot_root()).
 */
#include "guest/init/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/init/failure.h"
#include "guest/init/network.h"
#include "guest/init/protocol.h"
#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"

#define SCRATCH "/modules"

static int mount_root(const struct setup *s, struct failure *f)
{
	bool overlay = !(s->flags & SETUP_READONLY);
	const char *share = overlay ? SCRATCH "/lower" : SCRATCH "/root";

	mkdir(SCRATCH, 0755);
	if (mount("tmpfs", SCRATCH, "tmpfs", 0, "mode=755"))
		return failure_set(f, errno, "mount a tmpfs");
	if (mkdir(SCRATCH "/lower", 0755) || mkdir(SCRATCH "/upper", 0755) ||
	    mkdir(SCRATCH "/work", 0755) || mkdir(SCRATCH "/root", 0755))
		return failure_set(f, errno, "create the root's mount points");
	if (mount(s->root_tag, share, "virtiofs", MS_RDONLY, NULL))
		return failure_set(f, errno, "mount root share %s",
				   s->root_tag);
	if (overlay && mount("overlay", SCRATCH "/root", "overlay", 0,
			     "lowerdir=" SCRATCH "/lower,upperdir=" SCRATCH
			     "/upper,workdir=" SCRATCH "/work,redirect_dir=on"))
		return failure_set(f, errno,
				   "mount the overlay over the root share");
	return 0;
}

static int enter_root(struct failure *f)
{
	if (chdir(SCRATCH "/root") || mount(".", "/", NULL, MS_MOVE, NULL) ||
	    chroot(".") || chdir("/"))
		return failure_set(f, errno, "enter the root");
	return 0;
}

/* Creates the directory @path with its parents, if it does not exist. */
static void make_directory(const char *path)
{
	char part[PATH_MAX];

	for (const char *at = path + 1; at; at++) {
		at = strchr(at, '/');
		snprintf(part, sizeof(part), "%.*s",
			 at ? (int)(at - path) : PATH_MAX - 1, path);
		mkdir(part, 0755);
		if (!at)
			return;
	}
}

/*
 * The kernel's file systems in the new root. A root without an overlay is not
 * changed: it must have the directories, or goes without those not required.
 */
static int mount_kernel(bool overlay, struct failure *f)
{
	static const struct {
		const char *type, *path;
		unsigned long flags;
		const char *options;
		bool required, create;
	} rows[] = {
		{ "proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, true,
		  false },
		{ "sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, true,
		  false },
		{ "devtmpfs", "/dev", MS_NOSUID, "mode=755", true, false },
		{ "devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC,
		  "gid=5,mode=620,ptmxmode=666", false, true },
		{ "tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777", false,
		  true },
		{ "tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755", false,
		  false },
		{ "tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777", false,
		  false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (overlay || rows[i].create)
			make_directory(rows[i].path);
		if (mount(rows[i].type, rows[i].path, rows[i].type,
			  rows[i].flags, rows[i].options) &&
		    rows[i].required)
			return failure_set(f, errno, "mount %s", rows[i].path);
	}
	return 0;
}

/* The names that devtmpfs leaves to user space. */
static int link_devices(struct failure *f)
{
	static const char *const links[][2] = {
		{ "/proc/self/fd", "/dev/fd" },
		{ "/proc/self/fd/0", "/dev/stdin" },
		{ "/proc/self/fd/1", "/dev/stdout" },
		{ "/proc/self/fd/2", "/dev/stderr" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		if (symlink(links[i][0], links[i][1]) && errno != EEXIST)
			return failure_set(f, errno, "create %s", links[i][1]);
	return 0;
}

static int mount_binds(const struct setup *s, struct failure *f)
{
	for (uint32_t i = 0; i < s->bind_count; i++) {
		const struct setup_bind *bind = &s->binds[i];

		if (bind->path[0] != '/')
			return failure_set(f, EINVAL, "mount share at %s",
					   bind->path);
		make_directory(bind->path);
		if (mount(bind->tag, bind->path, "virtiofs",
			  bind->flags & BIND_READONLY ? MS_RDONLY : 0, NULL))
			return failure_set(f, errno, "mount share %s at %s",
					   bind->tag, bind->path);
	}
	return 0;
}

int setup_mount(const struct setup *s, struct failure *f)
{
	bool overlay = !(s->flags & SETUP_READONLY);
	int err;

	umask(0);
	err = mount_root(s, f);
	if (!err)
		err = enter_root(f);
	if (!err)
		err = mount_kernel(overlay, f);
	if (!err)
		err = link_devices(f);
	if (!err)
		err = network_write_resolver(s, f);
	if (!err)
		err = mount_binds(s, f);
	if (!err && *s->hostname &&
	    sethostname(s->hostname, strlen(s->hostname)))
		err = failure_set(f, errno, "set hostname %s", s->hostname);
	return err ? err : network_configure(s, f);
}

static void sync_at(const char *path)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		syncfs(fd);
}

void setup_sync(const struct setup *s)
{
	for (uint32_t i = 0; i < s->bind_count; i++)
		if (!(s->binds[i].flags & BIND_READONLY))
			sync_at(s->binds[i].path);
}

void setup_unmount(const struct setup *s)
{
	for (uint32_t i = s->bind_count; i > 0; i--)
		if (!(s->binds[i - 1].flags & BIND_READONLY))
			umount2(s->binds[i - 1].path, MNT_DETACH);
}
