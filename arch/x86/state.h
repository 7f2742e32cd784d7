/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parts of an x86 snapshot that have a file of their own.  Errors are -errno,
 * logged; -EBADMSG, not logged, when the bytes make no sense.
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

/*
 * The CPUID table.  One that promises what this host lacks is refused with the
 * names (-EOPNOTSUPP).
 */
int cpuid_save(const struct kvm_vcpu *cpu, struct snap_writer *w);
int cpuid_load(const struct kvm_vcpu *cpu, struct snap_reader *r);
/* Its processor in words; see arch_vcpu_describe(). */
int cpuid_describe(struct snap_reader *r, char *model, size_t room,
		   FILE *features);

#endif
