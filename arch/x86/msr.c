/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSRs, one by one and as the list of a vCPU.
 *
 * struct arch_private keeps the index list, from the first save.  The vCPU does
 * not run; any one thread.
 *
 * KVM_GET_MSRS and KVM_SET_MSRS take a limited number, stop at the first MSR
 * that they refuse, and return the number before it.  That MSR is skipped; the
 * next call continues behind it.
 */
#include "arch/x86/msr.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/x86.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/snap/section.h"

/* KVM lists about 150, plus about 190 others; also bounds hostile snapshots. */
#define MSRS_MAX 1024

/* KVM has 32 banks; MSRs behind 0x47f are unrelated. */
#define MC_BANKS_MAX 32

/* An MSR in the layout of the ioctl. */
union one_msr {
	struct kvm_msrs head;
	uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
};

int msr_get(const struct kvm_vcpu *cpu, uint32_t index, uint64_t *value)
{
	union one_msr msr = { .head.nmsrs = 1 };

	msr.head.entries[0] = (struct kvm_msr_entry){ .index = index };
	if (kvm_ioctl(cpu->fd, KVM_GET_MSRS, &msr) != 1)
		return -EINVAL;
	*value = msr.head.entries[0].data;
	return 0;
}

int msr_set(const struct kvm_vcpu *cpu, uint32_t index, uint64_t value)
{
	union one_msr msr = { .head.nmsrs = 1 };

	msr.head.entries[0] = (struct kvm_msr_entry){ index, 0, value };
	return kvm_ioctl(cpu->fd, KVM_SET_MSRS, &msr) == 1 ? 0 : -EINVAL;
}

/* MSRs that the callers of msrs_save() and msrs_load() handle. */
static bool is_time(uint32_t index)
{
	return index == MSR_TSC || index == MSR_TSC_DEADLINE;
}

/* MSRs that a 64-bit guest requires: system calls, segments, PAT. */
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

/* Allocates room for MSRS_MAX MSRs in the layout of the ioctls. */
static struct kvm_msrs *alloc_msrs(void)
{
	return calloc(1, sizeof(struct kvm_msrs) +
				 MSRS_MAX * sizeof(struct kvm_msr_entry));
}

/* Removes entry @i from the list. */
static void drop(struct kvm_msrs *msrs, uint32_t i)
{
	msrs->nmsrs--;
	for (; i < msrs->nmsrs; i++)
		msrs->entries[i] = msrs->entries[i + 1];
}

/* Limited by KVM (MAX_IO_MSRS is 256) and by the stack. */
#define MSRS_AT_ONCE 128

/* A batch in the layout of the ioctls. */
union some_msrs {
	struct kvm_msrs head;
	uint8_t room[sizeof(struct kvm_msrs) +
		     MSRS_AT_ONCE * sizeof(struct kvm_msr_entry)];
};

/*
 * Gets or sets (@request) up to MSRS_AT_ONCE of @msrs, starting at entry @at.
 * Returns the number done before a refusal, or -errno.
 */
static int transfer_some(const struct kvm_vcpu *cpu, unsigned long request,
			 struct kvm_msrs *msrs, uint32_t at)
{
	uint32_t count = (uint32_t)min_u64(msrs->nmsrs - at, MSRS_AT_ONCE);
	size_t len = count * sizeof(struct kvm_msr_entry);
	union some_msrs some = { .head.nmsrs = count };
	int done;

	memcpy(some.head.entries, msrs->entries + at, len);
	done = kvm_ioctl(cpu->fd, request, &some);
	if (done > 0 && request == KVM_GET_MSRS)
		memcpy(msrs->entries + at, some.head.entries,
		       (size_t)done * sizeof(struct kvm_msr_entry));
	return done;
}

/* Warns of an MSR whose value changes for the guest. */
static void warn_changed(const struct kvm_vcpu *cpu,
			 const struct kvm_msr_entry *msr, bool there,
			 uint64_t have)
{
	char found[40] = "no such register";

	if (there)
		snprintf(found, sizeof(found), "0x%llx",
			 (unsigned long long)have);
	log_warn("vCPU %u: KVM refuses to load MSR 0x%x: saved value 0x%llx, "
		 "now %s",
		 cpu->id, msr->index, (unsigned long long)msr->data, found);
}

/*
 * Reports an MSR that KVM refuses.  No warning if the vCPU already has the
 * value, or if the value is 0 and the MSR does not exist.
 */
static int refused(const struct kvm_vcpu *cpu, const char *verb,
		   const struct kvm_msr_entry *msr)
{
	uint64_t have = 0;
	bool there = msr_get(cpu, msr->index, &have) == 0;

	if (is_essential(msr->index))
		return log_fail(EOPNOTSUPP,
				"vCPU %u: KVM refuses to %s MSR 0x%x", cpu->id,
				verb, msr->index);
	if (msr->data != have)
		warn_changed(cpu, msr, there, have);
	else
		log_info("vCPU %u: KVM refuses to %s MSR 0x%x; skipped",
			 cpu->id, verb, msr->index);
	return 0;
}

/* Gets or sets (@request) all of @msrs; removes refused ones. */
static int transfer(const struct kvm_vcpu *cpu, unsigned long request,
		    struct kvm_msrs *msrs)
{
	const char *verb = request == KVM_SET_MSRS ? "load" : "save";
	uint32_t at = 0;

	while (at < msrs->nmsrs) {
		uint32_t end = (uint32_t)min_u64(msrs->nmsrs,
						 (uint64_t)at + MSRS_AT_ONCE);
		int done = transfer_some(cpu, request, msrs, at);
		int err;

		if (done < 0)
			return log_errno(-done, "vCPU %u: %s MSRs", cpu->id,
					 verb);
		at += (uint32_t)done;
		if (at >= end)
			continue;
		err = refused(cpu, verb, &msrs->entries[at]);
		if (err)
			return err;
		drop(msrs, at);
	}
	return 0;
}

/* ---- list of MSRs ---- */

/*
 * MTRRs, which KVM supports but does not list: eight pairs of base and mask,
 * the fixed ranges, the default (Intel SDM volume 3, 12.11).
 */
static const struct msr_range {
	uint32_t first, count;
} mtrrs[] = {
	{ 0x200, 16 }, { 0x250, 1 }, { 0x258, 2 }, { 0x268, 8 }, { 0x2ff, 1 },
};

/* Adds an MSR to the list, once. */
static void want(struct kvm_msrs *msrs, uint32_t index)
{
	for (uint32_t i = 0; i < msrs->nmsrs; i++)
		if (msrs->entries[i].index == index)
			return;
	if (msrs->nmsrs < MSRS_MAX)
		msrs->entries[msrs->nmsrs++].index = index;
}

/*
 * Adds the machine-check banks, which KVM does not list either: CTL, STATUS,
 * ADDR and MISC of each, and CTL2 if present (SDM volume 3, 16.3.2).
 */
static void want_banks(const struct kvm_vcpu *cpu, struct kvm_msrs *msrs)
{
	uint64_t cap = 0;
	uint32_t banks;

	if (msr_get(cpu, MSR_MCG_CAP, &cap) < 0)
		return;
	banks = (uint32_t)min_u64(cap & MCG_CAP_COUNT, MC_BANKS_MAX);
	for (uint32_t i = 0; i < 4 * banks; i++)
		want(msrs, MSR_MC0_CTL + i);
	for (uint32_t i = 0; i < banks && (cap & MCG_CAP_CMCI) != 0; i++)
		want(msrs, MSR_MC0_CTL2 + i);
}

static void want_all(const struct arch_private *arch,
		     const struct kvm_vcpu *cpu, struct kvm_msrs *msrs)
{
	for (uint32_t i = 0; i < arch->msrs->nmsrs; i++)
		if (!is_time(arch->msrs->indices[i]))
			want(msrs, arch->msrs->indices[i]);
	for (size_t i = 0; i < ARRAY_SIZE(mtrrs); i++)
		for (uint32_t n = 0; n < mtrrs[i].count; n++)
			want(msrs, mtrrs[i].first + n);
	want_banks(cpu, msrs);
}

int msrs_save(struct arch_private *arch, const struct kvm *kvm,
	      const struct kvm_vcpu *cpu, struct snap_writer *w)
{
	CLEANUP_FREE struct kvm_msrs *msrs = alloc_msrs();
	int err = msrs ? read_list(arch, kvm) : log_errno(ENOMEM, "save MSRs");

	if (err)
		return err;
	want_all(arch, cpu, msrs);
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
