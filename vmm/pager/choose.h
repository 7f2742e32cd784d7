/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The choice of the pager's mode: what the user wants, what the host has, and
 * the reasons in words.  No thread, no state.
 */
#ifndef VMM_PAGER_CHOOSE_H
#define VMM_PAGER_CHOOSE_H

#include <stdbool.h>

#include "vmm/pager/pager.h"

struct kvm_vm;

/* What the choice rests on; each int is 0 for yes, or -errno. */
struct host_caps {
	enum memory_backing backing; /* what the user wants memory to be */
	bool has_file; /* memory is a file that can be mapped: a snapshot */
	int userfault; /* KVM takes slots with a userfault bitmap */
	int uffd; /* userfaultfd sees the kernel's own faults */
};

struct pager_choice {
	enum pager_mode mode;
	/* Why this one, and for `auto` why not the better ones; one line. */
	char why[512];
};

/* Tries out userfault on @vm, which has no slot yet, and userfaultfd. */
void host_caps_probe(struct host_caps *caps, const struct kvm_vm *vm);

/*
 * Decides.  `auto` takes the first of userfault, uffd, map and eager that the
 * host can do with this memory; another @wanted is taken or refused: -ENOTSUP,
 * one line logged that says why and what would change it.
 */
int pager_choose(struct pager_choice *choice, enum pager_mode wanted,
		 const struct host_caps *caps);

/*
 * Why @mode cannot be had with these caps, in words that complete "--pager=X:",
 * or NULL when it can.
 */
const char *pager_mode_refusal(enum pager_mode mode,
			       const struct host_caps *caps);

#endif
