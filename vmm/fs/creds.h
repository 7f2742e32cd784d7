/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The user that a thread acts as on the host: see the two models in fs.h.
 *
 * In the pass model new files belong to the caller: the thread takes its user
 * and group for the file system (setfsuid, a property of the thread), which
 * drops the capabilities that concern files.  CAP_DAC_OVERRIDE is raised again
 * for creating, because the caller's supplementary groups are not known, and the
 * guest kernel has checked its permission; so is CAP_MKNOD, as the guest kernel
 * has checked that, too, and the server whether devices are allowed at all.
 */
#ifndef VMM_FS_CREDS_H
#define VMM_FS_CREDS_H

#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct creds {
	bool single; /* the model; else pass */
	bool squash;
	uid_t host_uid; /* of squash */
	gid_t host_gid;
	uid_t guest_uid; /* of the single model */
	gid_t guest_gid;
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
};

/* Finds the model, by the privileges of the calling thread.  -errno, silent. */
int creds_init(struct creds *c);

/*
 * Drops the calling thread's supplementary groups if it will act as others, and
 * makes it the user of squash, for its life.  -errno, silent.
 */
int creds_thread_prepare(const struct creds *c);

/* Whether device nodes may be made: the pass model with CAP_MKNOD. */
bool creds_can_make_devices(const struct creds *c);

/*
 * Whether requests of the guest's root may read the directory @fd; -errno.  Main
 * thread, which acts as the user of squash meanwhile.
 */
int creds_check_directory(const struct creds *c, int fd);

/* Whether file handles may be opened: CAP_DAC_READ_SEARCH. */
bool creds_can_open_by_handle(const struct creds *c);

/*
 * Acts as the caller with these ids: to create something, or with the caller's
 * own permission.  Ended by creds_leave().  -EPERM for ids that the host does
 * not have.  Nothing happens in the single model.
 */
int creds_enter_create(const struct creds *c, uid_t uid, gid_t gid);
int creds_enter_caller(const struct creds *c, uid_t uid, gid_t gid);
void creds_leave(const struct creds *c);

/*
 * Acts in this group alone, and without CAP_FSETID; ended by creds_leave().
 * Nothing happens in the single model.
 */
void creds_enter_group(const struct creds *c, gid_t gid);

/*
 * Drops CAP_FSETID, so that the kernel clears set-user-id bits as it does for
 * other users, and raises it again.
 */
void creds_drop_fsetid(const struct creds *c);
/* The same where the request of this user has no flag for it. */
void creds_drop_fsetid_of(const struct creds *c, uid_t uid);
void creds_raise_fsetid(const struct creds *c);

/* Ids as the guest sees them, and the other way: -EPERM for a foreign one. */
uid_t creds_guest_uid(const struct creds *c, uid_t uid);
gid_t creds_guest_gid(const struct creds *c, gid_t gid);
int creds_host_ids(const struct creds *c, uid_t *uid, gid_t *gid);

#endif
