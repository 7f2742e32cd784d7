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

/* A capability that thaw uses. */
struct kvm_probe_cap {
	unsigned int cap; /* KVM_CAP_* */
	bool needed; /* required for any guest */
	const char *name; /* as in the kernel documentation, in lower case */
	const char *use; /* what thaw uses it for */
	const char *without; /* consequence of its absence; NULL: needed */
	/* "Linux 6.8": the first release with it; NULL: in all supported kernels */
	const char *since;
};

/* The table; struct kvm_probe has the values in the same order. */
const struct kvm_probe_cap *kvm_probe_caps(size_t *count);

#define KVM_PROBE_CAPS_MAX 24

/* Each int that is not a number is 0 if supported, else -errno. */
struct kvm_probe {
	int api_version;
	int caps[KVM_PROBE_CAPS_MAX]; /* the values of kvm_probe_caps() */
	int vcpus_max, vcpus_advised, slots_max;
	/*
	 * A slot with KVM_MEM_USERFAULT and a bitmap, over anonymous memory and
	 * over a guest_memfd. The capability is not queried: its number differs
	 * between versions of the interface and has other meanings in released
	 * kernels.
	 */
	int userfault_anon, userfault_guest_memfd;
	/* Creation: without flags, mappable, and mappable and shared. */
	int guest_memfd, guest_memfd_mmap, guest_memfd_shared;
	int guest_memfd_map; /* mmap(2) of a shared one */
	int guest_memfd_slot; /* a slot with a shared one */
};

/* @vm has no slot 0 yet. */
void kvm_probe(struct kvm_probe *probe, const struct kvm *kvm,
	       const struct kvm_vm *vm);

/*
 * Tries userfault over anonymous memory only: 0 or -errno. @vm has no slot 0
 * yet.
 */
int kvm_probe_userfault(const struct kvm_vm *vm);

#endif
