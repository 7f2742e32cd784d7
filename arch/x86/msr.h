/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Model-specific registers: those that thaw itself names (Intel SDM volume 4),
 * and all of a vCPU's as a list in a snapshot.
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
#define MSR_MC0_CTL2	  0x280 /* one a bank */
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MSR_MC0_CTL	  0x400 /* four a bank */
#define MSR_TSC_DEADLINE  0x6e0

/* Fast string operations. */
#define MISC_ENABLE_FAST_STRING 1
/* MTRRs on, all memory write-back; the guest's page tables do the rest. */
#define MTRR_DEF_TYPE_WRITE_BACK 0x806

/* Machine check: how many banks, and whether they have a second control. */
#define MCG_CAP_COUNT 0xff
#define MCG_CAP_CMCI  0x400

/* One MSR, silent: 0, or -EINVAL when KVM refuses it. */
int msr_get(const struct kvm_vcpu *cpu, uint32_t index, uint64_t *value);
int msr_set(const struct kvm_vcpu *cpu, uint32_t index, uint64_t value);

/*
 * Saves and loads all MSRs of KVM_GET_MSR_INDEX_LIST, the MTRRs and the
 * machine-check banks, but not the TSC and its deadline, whose order is the
 * caller's to keep.  A register that KVM refuses is left out: with a warning
 * where the guest will find another value than it had, else with a line of
 * LOG_INFO.  No guest can do without some of them: -EOPNOTSUPP.  -errno, logged.
 */
int msrs_save(struct arch_private *arch, const struct kvm *kvm,
	      const struct kvm_vcpu *cpu, struct snap_writer *w);
int msrs_load(const struct kvm_vcpu *cpu, struct snap_reader *r);

#endif
