/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The capabilities of this host's userfaultfd, found by trying, for the choice of
 * the pager mode and for `thaw probe`.
 *
 * One thread.  Leaves nothing behind.  Silent.
 */
#ifndef VMM_MEM_UFFD_PROBE_H
#define VMM_MEM_UFFD_PROBE_H

#include <stdbool.h>
#include <stdint.h>

/* Each int is 0 for yes or -errno, except @unprivileged. */
struct uffd_probe {
	int syscall; /* userfaultfd(2), for faults of the kernel as well */
	int syscall_user_only; /* with UFFD_USER_MODE_ONLY */
	int device; /* /dev/userfaultfd, always for both */
	int unprivileged; /* vm.unprivileged_userfaultfd; -1: not known */
	/*
	 * Faults of the kernel can be caught, by either.  KVM's own are among
	 * them, so the pager needs this.
	 */
	bool kernel_faults;
	uint64_t features; /* UFFD_FEATURE_* of the API */
	/* Registering a range; -ENODEV: no such memory to try it with. */
	int anon_missing, anon_wp;
	int shmem_missing, shmem_minor;
	int guest_memfd_missing, guest_memfd_minor;
};

/*
 * @guest_memfd is a mappable one of at least 64 KiB, and stays the caller's; -1:
 * none.
 */
void uffd_probe(struct uffd_probe *probe, int guest_memfd);

/*
 * Opens a userfaultfd for faults of the kernel, by the system call or the device:
 * non-blocking, close-on-exec, with @features (UFFD_FEATURE_*) enabled.  Stores
 * the features of the kernel in *@supported unless that is NULL.  The
 * descriptor, or -errno.
 */
int uffd_open(uint64_t features, uint64_t *supported);

#endif
