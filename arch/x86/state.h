/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parts of an x86 snapshot in files of their own.  Errors are -errno, logged;
 * -EBADMSG, not logged, for malformed bytes.
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
 * The CPUID table. -EOPNOTSUPP, with the names, if this host lacks a feature.
 */
int cpuid_save(const struct kvm_vcpu *cpu, struct snap_writer *w);
int cpuid_load(const struct kvm_vcpu *cpu, struct snap_reader *r);
/* The processor model and features; see arch_vcpu_describe(). */
int cpuid_describe(struct snap_reader *r, char *model, size_t room,
		   FILE *features);

#endif
