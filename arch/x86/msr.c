/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Model-specific registers, one by one and all of a vCPU's.
 *
 * Owns nothing; the index list is kept in struct arch_private, which is made by
 * the first save.  The vCPU does not run; any one thread.
 *
 * KVM_GET_MSRS and KVM_SET_MSRS stop at the first register that they refuse and
 * tell how many came before it: that one is left out, and the rest is tried
 * again.
 */
#include "arch/x86/msr.h"

#include <errno.h>
#include <stdlib.h>

#include "arch/x86/x86.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/snap/section.h"

/* KVM's list has some 150; a bound for hostile snapshots. */
#define MSRS_MAX 1024

/* One MSR in the shape of the ioctl. */
union one_msr {
	struct kvm_msrs head;
	uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
};

/* Reads one MSR. */
int msr_get(const struct kvm_vcpu *cpu, uint32_t index, uint64_t *value)
{
	union one_msr msr = { .head.nmsrs = 1 };

	msr.head.entries[0] = (struct kvm_msr_entry){ .index = index };
	if (kvm_ioctl(cpu->fd, KVM_GET_MSRS, &msr) != 1)
		return -EINVAL;
	*value = msr.head.entries[0].data;
	return 0;
}

/* Writes one MSR. */
int msr_set(const struct kvm_vcpu *cpu, uint32_t index, uint64_t value)
{
	union one_msr msr = { .head.nmsrs = 1 };

	msr.head.entries[0] = (struct kvm_msr_entry){ index, 0, value };
	return kvm_ioctl(cpu->fd, KVM_SET_MSRS, &msr) == 1 ? 0 : -EINVAL;
}

/* Whether the caller of msrs_save() and msrs_load() sees to it. */
static bool is_time(uint32_t index)
{
	return index == MSR_TSC || index == MSR_TSC_DEADLINE;
}

/* Registers that a 64-bit guest runs by: system calls, segments, PAT. */
static bool is_essential(uint32_t index)
{
	switch (index) {
	case 0x174 ... 0x176: /* SYSENTER */
	case 0x277: /* PAT */
	case 0xc0000081 ... 0xc0000084: /* STAR, LSTAR, CSTAR, FMASK */
	case 0xc0000102: /* KERNEL_GS_BASE */
	case 0x4b564d00 ... 0x4b564d01: /* kvmclock */
		return true;
	default:
		return false;
	}
}

/* Asks KVM for its list, once. */
static int read_list(struct arch_private *arch, const struct kvm *kvm)
{
	struct kvm_msr_list *list;
	int err;

	if (arch->msrs)
		return 0;
	list = calloc(1, sizeof(*list) + MSRS_MAX * sizeof(uint32_t));
	if (!list)
		return log_errno(ENOMEM, "MSR list");
	list->nmsrs = MSRS_MAX;
	err = kvm_call(kvm->fd, KVM_GET_MSR_INDEX_LIST, list);
	if (err < 0) {
		free(list);
		return err;
	}
	arch->msrs = list;
	return 0;
}

/* Room for MSRS_MAX registers in the shape of the ioctls. */
static struct kvm_msrs *alloc_msrs(void)
{
	return calloc(1, sizeof(struct kvm_msrs) +
				 MSRS_MAX * sizeof(struct kvm_msr_entry));
}

/* Takes entry @i out of the list. */
static void drop(struct kvm_msrs *msrs, uint32_t i)
{
	msrs->nmsrs--;
	for (; i < msrs->nmsrs; i++)
		msrs->entries[i] = msrs->entries[i + 1];
}

/*
 * Gets or sets (@request) all of @msrs, and takes out what KVM refuses.  What
 * comes before a refused one is done again, which changes nothing.
 */
static int transfer(const struct kvm_vcpu *cpu, unsigned long request,
		    struct kvm_msrs *msrs)
{
	const char *verb = request == KVM_SET_MSRS ? "load" : "save";
	int done;

	for (;;) {
		done = kvm_ioctl(cpu->fd, request, msrs);
		if (done < 0)
			return log_errno(-done, "vCPU %u: %s MSRs", cpu->id,
					 verb);
		if ((uint32_t)done >= msrs->nmsrs)
			return 0;
		if (is_essential(msrs->entries[done].index))
			return log_fail(EOPNOTSUPP,
					"vCPU %u: KVM does not %s MSR 0x%x",
					cpu->id, verb,
					msrs->entries[done].index);
		log_info("vCPU %u: KVM does not %s MSR 0x%x, left out", cpu->id,
			 verb, msrs->entries[done].index);
		drop(msrs, (uint32_t)done);
	}
}

/* Saves all MSRs but those of time. */
int msrs_save(struct arch_private *arch, const struct kvm *kvm,
	      const struct kvm_vcpu *cpu, struct snap_writer *w)
{
	CLEANUP_FREE struct kvm_msrs *msrs = alloc_msrs();
	int err = msrs ? read_list(arch, kvm) : log_errno(ENOMEM, "save MSRs");

	if (err)
		return err;
	for (uint32_t i = 0; i < arch->msrs->nmsrs; i++)
		if (!is_time(arch->msrs->indices[i]))
			msrs->entries[msrs->nmsrs++].index =
				arch->msrs->indices[i];
	err = transfer(cpu, KVM_GET_MSRS, msrs);
	if (err)
		return err;
	snap_put_u32(w, msrs->nmsrs);
	for (uint32_t i = 0; i < msrs->nmsrs; i++) {
		snap_put_u32(w, msrs->entries[i].index);
		snap_put_u64(w, msrs->entries[i].data);
	}
	return 0;
}

/* Loads what msrs_save() saved. */
int msrs_load(const struct kvm_vcpu *cpu, struct snap_reader *r)
{
	CLEANUP_FREE struct kvm_msrs *msrs = alloc_msrs();
	uint32_t count = snap_get_u32(r);

	if (!msrs)
		return log_errno(ENOMEM, "load MSRs");
	if (count > MSRS_MAX)
		snap_reader_fail(r);
	for (uint32_t i = 0; i < count && !r->error; i++) {
		uint32_t index = snap_get_u32(r);
		uint64_t data = snap_get_u64(r);

		if (!is_time(index))
			msrs->entries[msrs->nmsrs++] =
				(struct kvm_msr_entry){ index, 0, data };
	}
	return r->error ? -EBADMSG : transfer(cpu, KVM_SET_MSRS, msrs);
}
