/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The choice of the pager mode, by the user's wish and the host's capabilities,
 * and the reason for it as text.  No state; any thread.
 */
#ifndef VMM_PAGER_CHOOSE_H
#define VMM_PAGER_CHOOSE_H

#include <stdbool.h>

#include "vmm/pager/pager.h"

struct kvm_vm;

/* What the choice depends on; each int is 0 for yes, or -errno. */
struct host_caps {
	enum memory_backing backing; /* wanted by the user */
	struct memory_huge huge; /* the same */
	bool has_file; /* a snapshot whose files can be mapped */
	const char *no_file; /* why not, where that is known, or NULL */
	int userfault; /* KVM takes slots with a userfault bitmap */
	int uffd; /* a userfaultfd for faults of the kernel */
};

struct pager_choice {
	enum pager_mode mode;
	/* The reason, one line; for `auto` why better modes are unavailable. */
	char why[512];
};

/* Probes KVM userfault on @vm, which has no memslot yet, and userfaultfd. */
void host_caps_probe(struct host_caps *caps, const struct kvm_vm *vm);

/*
 * `auto` takes the first of userfault, map, uffd and eager that is available for
 * this memory; another @wanted is taken or refused: -ENOTSUP, with the reason
 * and, where known, the remedy logged.
 */
int pager_choose(struct pager_choice *choice, enum pager_mode wanted,
		 const struct host_caps *caps);

/* Whether @mode maps guest memory from the files of the snapshot. */
bool pager_maps_file(enum pager_mode mode, const struct host_caps *caps);

/*
 * Why @mode is unavailable with these capabilities, as text after "--pager=X: ";
 * NULL: it is available.
 */
const char *pager_mode_refusal(enum pager_mode mode,
			       const struct host_caps *caps);

#endif
