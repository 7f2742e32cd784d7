/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The new root is put together below SCRATCH, which is a tmpfs over a directory
 * that the initramfs has and the init no longer needs; so nothing is written to
 * the initramfs. The tmpfs is also the upper layer of the overlay:
 *
 *	SCRATCH/lower	the root share
 *	SCRATCH/upper, SCRATCH/work
 *	SCRATCH/root	the overlay, or the root share itself
 *	SCRATCH/kernel	the kernel's file systems, until they are moved to root
 *
 * root is then moved over "/" (Documentation/filesystems/
 * ramfs-rootfs-initramfs.rst: an initramfs cannot be left by pivot_root()).
 *
 * What needs no share is done by setup_prepare(), before a guest is saved: a restored
 * one accesses fewer pages until its command runs.
 */
#include "guest/init/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest/init/failure.h"
#include "guest/init/network.h"
#include "guest/init/protocol.h"
#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"

#define SCRATCH "/modules"

/* The kernel's file systems; those of a name with a slash are within another. */
static const struct kernel_mount {
	const char *type, *name;
	unsigned long flags;
	const char *options;
	bool required;
} kernel_mounts[] = {
	{ "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, true },
	{ "sysfs", "sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, true },
	{ "devtmpfs", "dev", MS_NOSUID, "mode=755", true },
	{ "devpts", "dev/pts", MS_NOSUID | MS_NOEXEC,
	  "gid=5,mode=620,ptmxmode=666", false },
	{ "tmpfs", "dev/shm", MS_NOSUID | MS_NODEV, "mode=1777", false },
	{ "tmpfs", "run", MS_NOSUID | MS_NODEV, "mode=755", false },
	{ "tmpfs", "tmp", MS_NOSUID | MS_NODEV, "mode=1777", false },
};

static int make_scratch(struct failure *f)
{
	static const char *const names[] = { "lower", "upper", "work", "root",
					     "kernel" };
	char path[64];

	mkdir(SCRATCH, 0755);
	if (mount("tmpfs", SCRATCH, "tmpfs", 0, "mode=755"))
		return failure_set(f, errno, "mount a tmpfs");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), SCRATCH "/%s", names[i]);
		if (mkdir(path, 0755))
			return failure_set(f, errno,
					   "create the root's mount points");
	}
	return 0;
}

static int mount_kernel(struct failure *f)
{
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(kernel_mounts); i++) {
		const struct kernel_mount *m = &kernel_mounts[i];

		snprintf(path, sizeof(path), SCRATCH "/kernel/%s", m->name);
		mkdir(path, 0755);
		if (mount(m->type, path, m->type, m->flags, m->options) &&
		    m->required)
			return failure_set(f, errno, "mount /%s", m->name);
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

	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		snprintf(path, sizeof(path), SCRATCH "/kernel%s", links[i][1]);
		if (symlink(links[i][0], path) && errno != EEXIST)
			return failure_set(f, errno, "create %s", links[i][1]);
	}
	return 0;
}

int setup_prepare(struct failure *f)
{
	int err;

	umask(0);
	err = make_scratch(f);
	if (!err)
		err = mount_kernel(f);
	return err ? err : link_devices(f);
}

static int mount_root(const struct setup *s, struct failure *f)
{
	bool overlay = !(s->flags & SETUP_READONLY);
	const char *share = overlay ? SCRATCH "/lower" : SCRATCH "/root";

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

/* Opens a directory of the new root, where links in it lead within it. */
static int open_in_root(const char *name)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT };
	CLEANUP_CLOSE int root =
		open(SCRATCH "/root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	long fd = root < 0 ?
			  -1 :
			  syscall(SYS_openat2, root, name, &how, sizeof(how));

	/* Kernels before 5.6 have no openat2(). */
	return fd < 0 && errno == ENOSYS ?
		       openat(root, name, O_PATH | O_DIRECTORY | O_CLOEXEC) :
		       (int)fd;
}

/* Moves a file system to its place in the new root; 0 or -1 with errno. */
static int move_to_root(const char *name)
{
	char from[64], to[32];
	CLEANUP_CLOSE int fd = open_in_root(name);

	if (fd < 0)
		return -1;
	snprintf(from, sizeof(from), SCRATCH "/kernel/%s", name);
	/* The initramfs still has its own. */
	snprintf(to, sizeof(to), "/proc/self/fd/%d", fd);
	return mount(from, to, NULL, MS_MOVE, NULL);
}

/*
 * A root without an overlay is not changed: it must have the directories, or goes
 * without the file systems that are not required.
 */
static int move_kernel(bool overlay, struct failure *f)
{
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(kernel_mounts); i++) {
		const struct kernel_mount *m = &kernel_mounts[i];

		if (strchr(m->name, '/'))
			continue;
		snprintf(path, sizeof(path), SCRATCH "/root/%s", m->name);
		if (overlay)
			mkdir(path, 0755);
		if (move_to_root(m->name) && m->required)
			return failure_set(f, errno, "mount /%s", m->name);
	}
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
	int err = mount_root(s, f);

	if (!err)
		err = move_kernel(!(s->flags & SETUP_READONLY), f);
	if (!err)
		err = enter_root(f);
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

bool setup_is_writable(const struct setup *s)
{
	for (uint32_t i = 0; i < s->bind_count; i++)
		if (!(s->binds[i].flags & BIND_READONLY))
			return true;
	return false;
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
