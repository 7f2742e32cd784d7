/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUID of a guest: the features that KVM supports, minus those that are not
 * exposed, and a topology of one package with one thread for each core.  The
 * APIC id is the vCPU id.
 *
 * The functions that change a table do not call KVM. One thread.
 */
#ifndef ARCH_X86_CPUID_H
#define ARCH_X86_CPUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct kvm;
struct kvm_cpuid2;
struct kvm_cpuid_entry2;

/* More than any KVM has; also the bound for tables from files. */
#define CPUID_ENTRIES_MAX 256

/* KVM_GET_SUPPORTED_CPUID; the caller frees *@cpuid. -errno, logged. */
int cpuid_supported(const struct kvm *kvm, struct kvm_cpuid2 **cpuid);

/* An empty table with room for @room entries; NULL: out of memory. */
struct kvm_cpuid2 *cpuid_alloc(size_t room);

/* The entry of a leaf; NULL: none. */
struct kvm_cpuid_entry2 *cpuid_find(const struct kvm_cpuid2 *cpuid,
				    uint32_t function, uint32_t index);

/* Physical address bits of the guest (leaf 0x80000008). */
unsigned int cpuid_address_bits(const struct kvm_cpuid2 *cpuid);

/*
 * Builds the table of vCPU @id of @count from the supported features.
 * @deadline: KVM emulates the TSC deadline timer.  *@out has room for
 * CPUID_ENTRIES_MAX entries.
 */
void cpuid_for_vcpu(const struct kvm_cpuid2 *supported, unsigned int id,
		    unsigned int count, bool deadline, struct kvm_cpuid2 *out);

/*
 * Writes the names of the features in @want but not in @have, separated by
 * blanks; returns their number.
 */
unsigned int cpuid_missing(const struct kvm_cpuid2 *want,
			   const struct kvm_cpuid2 *have, FILE *to);

/* Writes the names of the features in @cpuid, one on each line. */
void cpuid_features(const struct kvm_cpuid2 *cpuid, FILE *to);

/*
 * Vendor, family, model, stepping and brand as text, truncated to @room bytes.
 */
void cpuid_model(const struct kvm_cpuid2 *cpuid, char *buf, size_t room);

#endif
