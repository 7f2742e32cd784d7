/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What KVM counts of the page faults of a vCPU, from its statistics descriptor
 * (api.rst 4.133, KVM_GET_STATS_FD, since Linux 5.14).  The counters have names;
 * KVM of x86 has these, KVM of arm64 has none of them.
 */
#ifndef VMM_KVM_STATS_H
#define VMM_KVM_STATS_H

#include <stdint.h>

struct kvm_vcpu;

/* pf_taken, pf_fixed, pf_emulate, pf_spurious, pf_fast */
#define KVM_FAULT_COUNTERS 5

struct kvm_fault_stats {
	int fd;
	uint64_t offsets[KVM_FAULT_COUNTERS]; /* in the descriptor; 0: none */
};

/* Both only grow. */
struct kvm_fault_counts {
	uint64_t resolved; /* a page was mapped */
	/* Neither mapped, nor emulated, nor needless: the vCPU faults again. */
	uint64_t unresolved;
};

/*
 * Opens the counters of @cpu.  -EOPNOTSUPP: KVM does not have them; another -errno;
 * silent.  kvm_fault_stats_close() follows success.
 */
int kvm_fault_stats_open(struct kvm_fault_stats *stats,
			 const struct kvm_vcpu *cpu);
void kvm_fault_stats_close(struct kvm_fault_stats *stats);

/* Any thread, also while the vCPU runs.  -errno, silent. */
int kvm_fault_stats_read(const struct kvm_fault_stats *stats,
			 struct kvm_fault_counts *counts);

#endif
