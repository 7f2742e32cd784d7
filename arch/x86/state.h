/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parts of an x86 snapshot: the wall clock by which a guest's time goes on, and
 * what of a vCPU has a file of its own.  Errors are -errno, logged; -EBADMSG,
 * not logged, when the bytes make no sense.
 */
#ifndef ARCH_X86_STATE_H
#define ARCH_X86_STATE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct kvm_vcpu;
struct machine;
struct snap_writer;
struct snap_reader;

/* Wall time in nanoseconds since 1970. */
uint64_t state_wall_ns(void);

/* How much has passed since @wall_ns; 0 when the host's clock is behind it. */
uint64_t state_elapsed_ns(uint64_t wall_ns);

/*
 * The CPUID table.  One that promises what this host lacks is refused with the
 * names (-EOPNOTSUPP).
 */
int cpuid_save(const struct kvm_vcpu *cpu, struct snap_writer *w);
int cpuid_load(const struct kvm_vcpu *cpu, struct snap_reader *r);
/* Its processor in words; see arch_vcpu_describe(). */
int cpuid_describe(struct snap_reader *r, char *model, size_t room,
		   FILE *features);

/* The TSC with its rate, and the deadline; after the LAPIC. */
int tsc_save(const struct kvm_vcpu *cpu, struct snap_writer *w);
int tsc_load(struct machine *machine, const struct kvm_vcpu *cpu,
	     struct snap_reader *r);

#endif
