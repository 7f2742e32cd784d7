/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What this host's userfaultfd can do, found by trying: facts for the pager's
 * choice and for `thaw probe`.
 *
 * One thread.  Everything made on the way is gone again afterwards.  Silent.
 */
#ifndef VMM_MEM_UFFD_PROBE_H
#define VMM_MEM_UFFD_PROBE_H

#include <stdbool.h>
#include <stdint.h>

/* Each int that is not a number is 0 for yes, or the -errno of the refusal. */
struct uffd_probe {
	int syscall; /* userfaultfd(2) that sees the kernel's faults too */
	int syscall_user_only; /* with UFFD_USER_MODE_ONLY */
	int device; /* /dev/userfaultfd, which always sees both */
	int unprivileged; /* vm.unprivileged_userfaultfd; -1: not known */
	/*
	 * Faults of the kernel can be caught, by one way or the other.  KVM's
	 * own are among them, so the pager needs this.
	 */
	bool kernel_faults;
	uint64_t features; /* UFFD_FEATURE_* of the API */
	/* Registering a range; -ENODEV where such memory was not to be had. */
	int anon_missing, anon_wp;
	int shmem_missing, shmem_minor;
	int guest_memfd_missing, guest_memfd_minor;
};

/*
 * Tries it all.  @guest_memfd is one that can be mapped, of at least 64 KiB,
 * and stays the caller's; -1: none.
 */
void uffd_probe(struct uffd_probe *probe, int guest_memfd);

/*
 * Opens a userfaultfd that sees the kernel's faults, by the system call or by
 * the device, and shakes hands: non-blocking, close-on-exec.  @features are
 * asked for (UFFD_FEATURE_*); what the kernel has is stored in *@supported
 * unless that is NULL.  The descriptor, or -errno.  Silent.
 */
int uffd_open(uint64_t features, uint64_t *supported);

#endif
