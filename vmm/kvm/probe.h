/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The capabilities of this host's KVM, by query and by trial, for the choice of
 * the pager mode and for `thaw probe`.
 *
 * One thread.  Nothing that a trial creates (a page, a slot, a guest_memfd)
 * outlives it.  Silent: a missing capability is a result, not an error.
 */
#ifndef VMM_KVM_PROBE_H
#define VMM_KVM_PROBE_H

#include <stdbool.h>
#include <stddef.h>

struct kvm;
struct kvm_vm;

/* A capability that thaw asks for. */
struct kvm_probe_cap {
	unsigned int cap; /* KVM_CAP_* */
	bool needed; /* no guest runs without it */
	const char *name; /* as the kernel's documents have it, in lower case */
	const char *use; /* what thaw does with it */
	const char
		*without; /* what that means where it is absent; NULL: needed */
	/* "Linux 6.8", the first release with it; NULL: any in use has it. */
	const char *since;
};

/* All of them; kvm_probe() fills values in the same order. */
const struct kvm_probe_cap *kvm_probe_caps(size_t *count);

#define KVM_PROBE_CAPS_MAX 24

/* Each int that is not a number is 0 for yes, or the -errno of the refusal. */
struct kvm_probe {
	int api_version;
	int caps[KVM_PROBE_CAPS_MAX]; /* the values of kvm_probe_caps() */
	int vcpus_max, vcpus_advised, slots_max;
	/*
	 * A slot with KVM_MEM_USERFAULT and a bitmap, over anonymous memory and
	 * over a guest_memfd.  The capability's number is not looked at: it
	 * differs between versions of the interface and means other things in
	 * released kernels.
	 */
	int userfault_anon, userfault_guest_memfd;
	/* Creation: without flags, mappable, and mappable and shared. */
	int guest_memfd, guest_memfd_mmap, guest_memfd_shared;
	int guest_memfd_map; /* mmap(2) of the latter */
	int guest_memfd_slot; /* a slot with it */
};

/* Asks an open KVM and a VM that has no slot 0 yet. */
void kvm_probe(struct kvm_probe *probe, const struct kvm *kvm,
	       const struct kvm_vm *vm);

/*
 * Only whether a slot over anonymous memory takes userfault: 0, or -errno.  The
 * VM has no slot 0 yet.
 */
int kvm_probe_userfault(const struct kvm_vm *vm);

#endif
