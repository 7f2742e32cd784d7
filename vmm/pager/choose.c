/* SPDX-License-Identifier: BSD-2-Clause */
/* The choice of the pager mode. */
#include "vmm/pager/choose.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/kvm/probe.h"
#include "vmm/mem/uffd_probe.h"

/* The order of `auto`: best first; the last mode is always available. */
static const enum pager_mode order[] = { PAGER_USERFAULT, PAGER_MAP, PAGER_UFFD,
					 PAGER_EAGER };

void host_caps_probe(struct host_caps *caps, const struct kvm_vm *vm)
{
	int fd = uffd_open(0, NULL);

	caps->userfault = kvm_probe_userfault(vm);
	caps->uffd = fd < 0 ? fd : 0;
	if (fd >= 0)
		close(fd);
}

/* The reason why userfaultfd is unavailable, or NULL. */
static const char *uffd_refusal(const struct host_caps *caps)
{
	if (caps->uffd < 0)
		return "no userfaultfd for kernel faults; needs access to "
		       "/dev/userfaultfd, or CAP_SYS_PTRACE";
	return NULL;
}

bool pager_maps_file(enum pager_mode mode, const struct host_caps *caps)
{
	return (mode == PAGER_MAP || mode == PAGER_USERFAULT) &&
	       caps->has_file && caps->backing == MEMORY_ANON;
}

const char *pager_mode_refusal(enum pager_mode mode,
			       const struct host_caps *caps)
{
	if (caps->huge.kind == MEMORY_HUGE_HUGETLB && mode != PAGER_AUTO &&
	    mode != PAGER_EAGER)
		return "hugetlb pages are not filled in parts; use "
		       "--pager=eager or other --hugepages";
	switch (mode) {
	case PAGER_USERFAULT:
		if (caps->userfault < 0)
			return "not supported by this kernel, nor by any "
			       "released one";
		/* KVM's own accesses ignore the bitmap. */
		return pager_maps_file(mode, caps) ? NULL : uffd_refusal(caps);
	case PAGER_UFFD:
		if (caps->backing == MEMORY_GUEST_MEMFD)
			return "userfaultfd does not stop vCPU accesses to "
			       "guest_memfd; use --memory=anon";
		return uffd_refusal(caps);
	case PAGER_MAP:
		if (!caps->has_file)
			return caps->no_file ?
				       caps->no_file :
				       "no snapshot file that can be mapped";
		if (caps->backing == MEMORY_GUEST_MEMFD)
			return "guest_memfd cannot map a file; use "
			       "--memory=anon";
		return NULL;
	case PAGER_AUTO:
	case PAGER_EAGER:
		break;
	}
	return NULL;
}

/* Selects the first available mode; stores the reasons against earlier ones. */
static void choose_first(struct pager_choice *choice,
			 const struct host_caps *caps)
{
	size_t at = 0;

	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		const char *refusal = pager_mode_refusal(order[i], caps);

		choice->mode = order[i];
		if (!refusal)
			return;
		at += (size_t)snprintf(choice->why + at,
				       sizeof(choice->why) - at,
				       "%s%s unavailable: %s", at ? "; " : "",
				       pager_mode_names[order[i]], refusal);
		if (at >= sizeof(choice->why))
			at = sizeof(choice->why) - 1;
	}
}

int pager_choose(struct pager_choice *choice, enum pager_mode wanted,
		 const struct host_caps *caps)
{
	const char *refusal = pager_mode_refusal(wanted, caps);

	*choice = (struct pager_choice){ .mode = wanted };
	if (caps->backing == MEMORY_GUEST_MEMFD &&
	    (caps->huge.kind == MEMORY_HUGE_ALWAYS ||
	     caps->huge.kind == MEMORY_HUGE_HUGETLB))
		return log_fail(ENOTSUP,
				"--hugepages=%s: a guest_memfd has no large "
				"pages; use --memory=anon",
				memory_huge_names[caps->huge.kind]);
	if (refusal)
		return log_fail(ENOTSUP, "--pager=%s --memory=%s: %s",
				pager_mode_names[wanted],
				memory_backing_names[caps->backing], refusal);
	if (wanted == PAGER_AUTO)
		choose_first(choice, caps);
	if (!choice->why[0])
		snprintf(choice->why, sizeof(choice->why), "%s",
			 wanted == PAGER_AUTO  ? "best available" :
			 wanted == PAGER_EAGER ? "all memory is populated "
						 "before the guest runs" :
						 "requested");
	return 0;
}
