/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Saves a vCPU's CPUID table, and checks a saved one against this host.
 *
 * The vCPU does not run; any one thread.  A table from a file is hostile: its
 * count is bounded, and KVM accepts any values.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "arch/x86/cpuid.h"
#include "arch/x86/fields.h"
#include "arch/x86/state.h"
#include "arch/x86/x86.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/snap/section.h"

/* Length limit of the list of missing features. */
#define MISSING_BYTES 1024

static const struct field cpuid_fields[] = {
	FIELD(struct kvm_cpuid_entry2, function),
	FIELD(struct kvm_cpuid_entry2, index),
	FIELD(struct kvm_cpuid_entry2, flags),
	FIELD(struct kvm_cpuid_entry2, eax),
	FIELD(struct kvm_cpuid_entry2, ebx),
	FIELD(struct kvm_cpuid_entry2, ecx),
	FIELD(struct kvm_cpuid_entry2, edx),
};

/* Reads the vCPU's current table; NULL: error, logged. */
static struct kvm_cpuid2 *current_cpuid(const struct kvm_vcpu *cpu)
{
	struct kvm_cpuid2 *table = cpuid_alloc(CPUID_ENTRIES_MAX);

	if (!table) {
		log_errno(ENOMEM, "vCPU %u: CPUID table", cpu->id);
		return NULL;
	}
	table->nent = CPUID_ENTRIES_MAX;
	if (kvm_call(cpu->fd, KVM_GET_CPUID2, table) >= 0)
		return table;
	free(table);
	return NULL;
}

int cpuid_save(const struct kvm_vcpu *cpu, struct snap_writer *w)
{
	CLEANUP_FREE struct kvm_cpuid2 *table = current_cpuid(cpu);

	if (!table)
		return -EIO;
	snap_put_u32(w, table->nent);
	for (uint32_t i = 0; i < table->nent; i++)
		fields_put(w, cpuid_fields, ARRAY_SIZE(cpuid_fields),
			   &table->entries[i]);
	return 0;
}

static bool same_vendor(const struct kvm_cpuid2 *a, const struct kvm_cpuid2 *b)
{
	const struct kvm_cpuid_entry2 *x = cpuid_find(a, 0, 0);
	const struct kvm_cpuid_entry2 *y = cpuid_find(b, 0, 0);

	return x && y && x->ebx == y->ebx && x->ecx == y->ecx &&
	       x->edx == y->edx;
}

/* Lists the features in @want but not in @have; returns their number. */
static unsigned int list_missing(const struct kvm_cpuid2 *want,
				 const struct kvm_cpuid2 *have,
				 char names[MISSING_BYTES])
{
	FILE *to = fmemopen(names, MISSING_BYTES, "w");
	unsigned int missing;

	names[0] = '\0';
	if (!to)
		return 0;
	missing = cpuid_missing(want, have, to);
	fclose(to);
	names[MISSING_BYTES - 1] = '\0';
	return missing;
}

/*
 * Refuses a table with features that this host lacks.  The vCPU's current
 * table, set up from KVM_GET_SUPPORTED_CPUID, is what this host has.
 */
static int check_cpuid(const struct kvm_vcpu *cpu,
		       const struct kvm_cpuid2 *want)
{
	CLEANUP_FREE struct kvm_cpuid2 *have = current_cpuid(cpu);
	char names[MISSING_BYTES];
	unsigned int missing;

	if (!have)
		return -EIO;
	if (!same_vendor(want, have))
		return log_fail(EOPNOTSUPP,
				"snapshot needs a processor of another vendor");
	missing = list_missing(want, have, names);
	if (missing)
		return log_fail(EOPNOTSUPP,
				"snapshot needs %u processor features missing "
				"on this host: %.900s",
				missing, names);
	if (cpuid_address_bits(want) > cpuid_address_bits(have))
		return log_fail(EOPNOTSUPP,
				"snapshot needs %u bits of physical address; "
				"this host has %u",
				cpuid_address_bits(want),
				cpuid_address_bits(have));
	return 0;
}

/* Reads a table; NULL: the reader's error, or out of memory. */
static struct kvm_cpuid2 *get_table(struct snap_reader *r)
{
	struct kvm_cpuid2 *table = cpuid_alloc(CPUID_ENTRIES_MAX);
	uint32_t count = snap_get_u32(r);

	if (!table)
		return NULL;
	if (count > CPUID_ENTRIES_MAX)
		snap_reader_fail(r);
	for (uint32_t i = 0; i < count && !r->error; i++)
		fields_get(r, cpuid_fields, ARRAY_SIZE(cpuid_fields),
			   &table->entries[i]);
	table->nent = count;
	if (!r->error)
		return table;
	free(table);
	return NULL;
}

int cpuid_describe(struct snap_reader *r, char *model, size_t room,
		   FILE *features)
{
	CLEANUP_FREE struct kvm_cpuid2 *table = get_table(r);

	if (!table)
		return r->error ? -EBADMSG : log_errno(ENOMEM, "CPUID table");
	cpuid_model(table, model, room);
	cpuid_features(table, features);
	return 0;
}

int cpuid_load(const struct kvm_vcpu *cpu, struct snap_reader *r)
{
	CLEANUP_FREE struct kvm_cpuid2 *table = get_table(r);
	int err;

	if (!table)
		return r->error ? -EBADMSG :
				  log_errno(ENOMEM, "vCPU %u: CPUID table",
					    cpu->id);
	err = check_cpuid(cpu, table);
	if (err)
		return err;
	err = kvm_call(cpu->fd, KVM_SET_CPUID2, table);
	return err < 0 ? err : 0;
}
