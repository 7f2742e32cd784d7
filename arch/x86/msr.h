/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Model-specific registers: those used by name (Intel SDM volume 4), and the
 * list of a vCPU's MSRs in a snapshot.
 */
#ifndef ARCH_X86_MSR_H
#define ARCH_X86_MSR_H

#include <stdint.h>

struct arch_private;
struct kvm;
struct kvm_vcpu;
struct snap_writer;
struct snap_reader;

#define MSR_TSC		  0x10
#define MSR_MCG_CAP	  0x179
#define MSR_MISC_ENABLE	  0x1a0
#define MSR_MC0_CTL2	  0x280 /* one for each bank */
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MSR_MC0_CTL	  0x400 /* four for each bank */
#define MSR_TSC_DEADLINE  0x6e0

/* Fast string operations. */
#define MISC_ENABLE_FAST_STRING 1
/* MTRRs enabled, default type write-back. */
#define MTRR_DEF_TYPE_WRITE_BACK 0x806

/* Machine check: number of banks, and whether they have a CTL2 register. */
#define MCG_CAP_COUNT 0xff
#define MCG_CAP_CMCI  0x400

/* One MSR; silent. 0, or -EINVAL if KVM refuses it. */
int msr_get(const struct kvm_vcpu *cpu, uint32_t index, uint64_t *value);
int msr_set(const struct kvm_vcpu *cpu, uint32_t index, uint64_t value);

/*
 * Saves and loads all MSRs of KVM_GET_MSR_INDEX_LIST, the MTRRs and the
 * machine-check banks, but not the TSC and its deadline, which the caller
 * orders.  An MSR that KVM refuses is skipped: with a warning if the guest will
 * read a different value, else with a LOG_INFO line. -EOPNOTSUPP if a 64-bit
 * guest needs it. -errno, logged.
 */
int msrs_save(struct arch_private *arch, const struct kvm *kvm,
	      const struct kvm_vcpu *cpu, struct snap_writer *w);
int msrs_load(const struct kvm_vcpu *cpu, struct snap_reader *r);

#endif
