// SPDX-License-Identifier: BSD-2-Clause
/*
 * See the header.  All of it concerns the calling thread alone: the system calls
 * are made directly where the C library would change all threads.
 */
#include "vmm/fs/creds.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAP_BIT(cap) (UINT64_C(1) << (cap))

/* What the pass model needs. */
#define CAPS_NEEDED                                       \
	(CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_DAC_OVERRIDE) | \
	 CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID))

/* What a thread that creates for another user keeps. */
#define CAPS_CREATE                                        \
	(CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_SETUID) | \
	 CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_MKNOD))

/* The effective capabilities that creds_init() found. */
static uint64_t effective(const struct creds *c)
{
	return c->caps[0].effective | (uint64_t)c->caps[1].effective << 32;
}

/* Sets the thread's effective capabilities; it had them before. */
static void set_effective(const struct creds *c, uint64_t caps)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3,
						 0 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
		c->caps[0], c->caps[1]
	};

	data[0].effective = (uint32_t)caps;
	data[1].effective = (uint32_t)(caps >> 32);
	syscall(SYS_capset, &head, data);
}

int creds_init(struct creds *c)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3,
						 0 };

	if (syscall(SYS_capget, &head, c->caps) < 0)
		return -errno;
	c->single = c->squash || geteuid() != 0 ||
		    (effective(c) & CAPS_NEEDED) != CAPS_NEEDED;
	/* Without the capabilities, thaw cannot act as another user. */
	if (c->squash && (effective(c) & CAPS_NEEDED) != CAPS_NEEDED)
		return -EPERM;
	return 0;
}

/* Takes ids for the file system; whether both were taken. */
static bool set_fs_ids(uid_t uid, gid_t gid)
{
	setfsgid(gid);
	setfsuid(uid);
	return (uid_t)setfsuid((uid_t)-1) == uid &&
	       (gid_t)setfsgid((gid_t)-1) == gid;
}

int creds_thread_prepare(const struct creds *c)
{
	if (c->single && !c->squash)
		return 0;
	/* thaw's supplementary groups are no caller's. */
	if (syscall(SYS_setgroups, 0, NULL) < 0)
		return -errno;
	if (!c->squash)
		return 0;
	return set_fs_ids(c->host_uid, c->host_gid) ? 0 : -EPERM;
}

int creds_check_directory(const struct creds *c, int fd)
{
	int r = 0;

	if (c->squash && !set_fs_ids(c->host_uid, c->host_gid))
		r = -EPERM;
	if (r == 0 && faccessat(fd, ".", R_OK | X_OK, AT_EACCESS) < 0)
		r = -errno;
	if (c->squash)
		set_fs_ids(geteuid(), getegid());
	return r;
}

bool creds_can_make_devices(const struct creds *c)
{
	return !c->single && effective(c) & CAP_BIT(CAP_MKNOD);
}

bool creds_can_open_by_handle(const struct creds *c)
{
	return !c->squash && effective(c) & CAP_BIT(CAP_DAC_READ_SEARCH);
}

int creds_enter_caller(const struct creds *c, uid_t uid, gid_t gid)
{
	if (c->single || (uid == 0 && gid == 0))
		return 0;
	if (set_fs_ids(uid, gid))
		return 0;
	creds_leave(c);
	return -EPERM;
}

int creds_enter_create(const struct creds *c, uid_t uid, gid_t gid)
{
	int r = creds_enter_caller(c, uid, gid);

	if (r == 0 && !c->single && uid != 0)
		set_effective(c, effective(c) & CAPS_CREATE);
	return r;
}

void creds_leave(const struct creds *c)
{
	int saved = errno;

	if (!c->single) {
		set_fs_ids(0, 0);
		set_effective(c, effective(c));
	}
	errno = saved;
}

void creds_enter_group(const struct creds *c, gid_t gid)
{
	if (c->single)
		return;
	setfsgid(gid);
	creds_drop_fsetid(c);
}

void creds_drop_fsetid(const struct creds *c)
{
	if (!c->single)
		set_effective(c, effective(c) & ~CAP_BIT(CAP_FSETID));
}

void creds_drop_fsetid_of(const struct creds *c, uid_t uid)
{
	if (uid != 0)
		creds_drop_fsetid(c);
}

void creds_raise_fsetid(const struct creds *c)
{
	int saved = errno;

	if (!c->single)
		set_effective(c, effective(c));
	errno = saved;
}

uid_t creds_guest_uid(const struct creds *c, uid_t uid)
{
	return c->single ? c->guest_uid : uid;
}

gid_t creds_guest_gid(const struct creds *c, gid_t gid)
{
	return c->single ? c->guest_gid : gid;
}

int creds_host_ids(const struct creds *c, uid_t *uid, gid_t *gid)
{
	if (!c->single)
		return 0;
	if (*uid != (uid_t)-1 && *uid != c->guest_uid)
		return -EPERM;
	if (*gid != (gid_t)-1 && *gid != c->guest_gid)
		return -EPERM;
	*uid = (uid_t)-1;
	*gid = (gid_t)-1;
	return 0;
}
