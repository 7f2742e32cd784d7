/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The capabilities of this host's userfaultfd, by trial, for the choice of the
 * pager mode and for `thaw probe`.
 *
 * One thread. No side effects. Silent.
 */
#ifndef VMM_MEM_UFFD_PROBE_H
#define VMM_MEM_UFFD_PROBE_H

#include <stdbool.h>
#include <stdint.h>

/* Each int is 0 if supported, else -errno, except @unprivileged. */
struct uffd_probe {
	int syscall; /* userfaultfd(2), including kernel faults */
	int syscall_user_only; /* with UFFD_USER_MODE_ONLY */
	int device; /* /dev/userfaultfd, always including kernel faults */
	int unprivileged; /* vm.unprivileged_userfaultfd; -1: unknown */
	/*
	 * Either handles kernel faults. KVM's accesses cause such faults, so
	 * the pager needs this.
	 */
	bool kernel_faults;
	uint64_t features; /* UFFD_FEATURE_* of the API */
	/* UFFDIO_REGISTER; -ENODEV: no such memory to test. */
	int anon_missing, anon_wp;
	int shmem_missing, shmem_minor;
	int guest_memfd_missing, guest_memfd_minor;
};

/*
 * @guest_memfd is mappable, of at least 64 KiB, and stays the caller's; -1:
 * none.
 */
void uffd_probe(struct uffd_probe *probe, int guest_memfd);

/*
 * Opens a userfaultfd that handles kernel faults, by the system call or the
 * device: non-blocking, close-on-exec, with @features (UFFD_FEATURE_*) enabled.
 * Stores the kernel's features in *@supported unless NULL. The descriptor, or
 * -errno.
 */
int uffd_open(uint64_t features, uint64_t *supported);

#endif
