/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUID of a guest: what KVM supports, less what thaw does not offer, with a
 * topology of one package and one thread a core.  APIC id = vCPU id.
 *
 * The functions that change a table need no KVM, for tests.  One thread.
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

/* More entries than any KVM gives; a bound for hostile tables as well. */
#define CPUID_ENTRIES_MAX 256

/* KVM_GET_SUPPORTED_CPUID; free(*cpuid) is the caller's.  -errno, logged. */
int cpuid_supported(const struct kvm *kvm, struct kvm_cpuid2 **cpuid);

/* A table with room for @room entries, none used; NULL: no memory. */
struct kvm_cpuid2 *cpuid_alloc(size_t room);

/* The entry of a leaf, or NULL. */
struct kvm_cpuid_entry2 *cpuid_find(const struct kvm_cpuid2 *cpuid,
				    uint32_t function, uint32_t index);

/* Physical address bits of the guest (leaf 0x80000008). */
unsigned int cpuid_address_bits(const struct kvm_cpuid2 *cpuid);

/*
 * Makes a vCPU's table from what is supported: @id of @count vCPUs.
 * @deadline: the TSC deadline timer is emulated.  *@out has room for
 * CPUID_ENTRIES_MAX entries.
 */
void cpuid_for_vcpu(const struct kvm_cpuid2 *supported, unsigned int id,
		    unsigned int count, bool deadline, struct kvm_cpuid2 *out);

/*
 * Writes the names of the features that @want has and @have lacks to @to,
 * separated by blanks; how many there were.
 */
unsigned int cpuid_missing(const struct kvm_cpuid2 *want,
			   const struct kvm_cpuid2 *have, FILE *to);

/* Writes the names of the features that @cpuid has, each ended by a newline. */
void cpuid_features(const struct kvm_cpuid2 *cpuid, FILE *to);

/* The maker, model and brand of @cpuid in words, cut to @room bytes. */
void cpuid_model(const struct kvm_cpuid2 *cpuid, char *buf, size_t room);

#endif
