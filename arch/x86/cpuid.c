/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The CPUID table of a vCPU.
 *
 * Starts from KVM_GET_SUPPORTED_CPUID and changes only the topology, the APIC
 * id and the features that guests do not get.
 *
 * Bits: Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E; the KVM
 * leaves from Documentation/virt/kvm/x86/cpuid.rst.
 */
#include "arch/x86/cpuid.h"

#include <asm/kvm_para.h>
#include <errno.h>
#include <stdlib.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/kvm/kvm.h"

/* Leaf 1. */
#define L1_ECX_VMX	  BIT(5)
#define L1_ECX_DEADLINE	  BIT(24)
#define L1_ECX_HYPERVISOR BIT(31)
#define L1_EDX_HTT	  BIT(28)
/*
 * Leaf 7: shadow stacks.  The current shadow stack pointer is not an MSR, and
 * no other saved state includes it.
 */
#define L7_ECX_SHSTK BIT(7)
/* Leaf 0x80000001. */
#define X1_ECX_CMP_LEGACY BIT(1)
#define X1_ECX_SVM	  BIT(2)

/*
 * With asynchronous page faults, a vCPU runs on while the host reads a page:
 * past an access that waits for the pager.
 */
#define KVM_ASYNC_PF                                                    \
	(BIT(KVM_FEATURE_ASYNC_PF) | BIT(KVM_FEATURE_ASYNC_PF_VMEXIT) | \
	 BIT(KVM_FEATURE_ASYNC_PF_INT))

struct kvm_cpuid2 *cpuid_alloc(size_t room)
{
	return calloc(1, sizeof(struct kvm_cpuid2) +
				 room * sizeof(struct kvm_cpuid_entry2));
}

int cpuid_supported(const struct kvm *kvm, struct kvm_cpuid2 **cpuid)
{
	CLEANUP_FREE struct kvm_cpuid2 *table = cpuid_alloc(CPUID_ENTRIES_MAX);
	int err;

	if (!table)
		return log_errno(ENOMEM, "CPUID table");
	table->nent = CPUID_ENTRIES_MAX;
	err = kvm_call(kvm->fd, KVM_GET_SUPPORTED_CPUID, table);
	if (err < 0)
		return err;
	*cpuid = take_ptr(table);
	return 0;
}

/* Compares the index only if the leaf has subleaves. */
struct kvm_cpuid_entry2 *cpuid_find(const struct kvm_cpuid2 *cpuid,
				    uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (e->function == function &&
		    (e->index == index ||
		     !(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)))
			return (struct kvm_cpuid_entry2 *)e;
	}
	return NULL;
}

/*
 * The guest's number of address bits if KVM reports it, else the processor's.
 */
unsigned int cpuid_address_bits(const struct kvm_cpuid2 *cpuid)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, 0x80000008, 0);
	unsigned int bits = e ? e->eax & 0xff : 0;
	unsigned int guest = e ? e->eax >> 16 & 0xff : 0;

	if (guest && guest < bits)
		bits = guest;
	/* Limits: 36, the minimum of x86-64; 52, the maximum in page tables. */
	return bits < 36 ? 36 : bits > 52 ? 52 : bits;
}

static unsigned int bits_for(unsigned int count)
{
	unsigned int bits = 0;

	while (bits < 31 && (1u << bits) < count)
		bits++;
	return bits;
}

/* Leaf 1: APIC id, number of logical processors, masked features. */
static void fix_leaf1(struct kvm_cpuid_entry2 *e, unsigned int id,
		      unsigned int count, bool deadline)
{
	unsigned int ids = 1u << bits_for(count);

	e->ebx = (e->ebx & 0xffff) | (ids > 255 ? 255 : ids) << 16 |
		 (id & 0xff) << 24;
	e->ecx = (e->ecx & ~(L1_ECX_VMX | L1_ECX_DEADLINE)) |
		 L1_ECX_HYPERVISOR | (deadline ? L1_ECX_DEADLINE : 0);
	e->edx = (e->edx & ~L1_EDX_HTT) | (count > 1 ? L1_EDX_HTT : 0);
}

/* Leaves 4 and 0x8000001d: all vCPUs share the last-level cache. */
static void fix_cache(struct kvm_cpuid_entry2 *e, unsigned int count,
		      bool intel)
{
	unsigned int ids = 1u << bits_for(count);
	unsigned int sharing = (e->eax >> 5 & 7) >= 3 ? ids - 1 : 0;

	if ((e->eax & 0x1f) == 0)
		return; /* no more caches */
	e->eax = (e->eax & 0x3fff) | (sharing > 0xfff ? 0xfff : sharing) << 14;
	if (intel)
		e->eax |= (ids - 1 > 63 ? 63 : ids - 1) << 26;
}

/* Leaf 0x80000008, AMD: number of cores, APIC id size. */
static void fix_ext8(struct kvm_cpuid_entry2 *e, unsigned int count)
{
	if (e->ecx == 0 && count == 1)
		return;
	e->ecx = (e->ecx & ~UINT32_C(0xf0ff)) | ((count - 1) & 0xff) |
		 bits_for(count) << 12;
}

/* Leaf 0x8000001e, AMD: APIC id, core, node. */
static void fix_ext1e(struct kvm_cpuid_entry2 *e, unsigned int id)
{
	e->eax = id;
	e->ebx = id & 0xff;
	e->ecx = 0;
}

static void fix_entry(struct kvm_cpuid_entry2 *e, unsigned int id,
		      unsigned int count, bool deadline, bool amd)
{
	switch (e->function) {
	case 1:
		fix_leaf1(e, id, count, deadline);
		break;
	case 4:
		fix_cache(e, count, true);
		break;
	case 7:
		if (e->index == 0)
			e->ecx &= ~L7_ECX_SHSTK;
		break;
	case KVM_CPUID_FEATURES:
		e->eax &= ~KVM_ASYNC_PF;
		break;
	case 0x80000001:
		e->ecx &= ~(X1_ECX_SVM | X1_ECX_CMP_LEGACY);
		if (amd && count > 1)
			e->ecx |= X1_ECX_CMP_LEGACY;
		break;
	case 0x80000008:
		if (amd)
			fix_ext8(e, count);
		break;
	case 0x8000001d:
		fix_cache(e, count, false);
		break;
	case 0x8000001e:
		fix_ext1e(e, id);
		break;
	}
}

/* Leaves not copied: rebuilt by add_topology(), or not exposed. */
static bool is_withheld(uint32_t function)
{
	switch (function) {
	case 0xb: /* extended topology: rebuilt */
	case 0x1f:
	case 0x8000000a: /* SVM: not exposed */
	case 0x80000026: /* AMD extended topology: same as leaf 0xb */
		return true;
	default:
		return false;
	}
}

static void add_topology(struct kvm_cpuid2 *out, uint32_t function,
			 unsigned int id, unsigned int count)
{
	/* Level types: 1 thread, 2 core, 0 end of list. */
	static const uint32_t types[] = { 1, 2, 0 };
	const uint32_t shifts[] = { 0, bits_for(count), 0 };
	const uint32_t numbers[] = { 1, count, 0 };

	for (uint32_t i = 0; i < 3 && out->nent < CPUID_ENTRIES_MAX; i++)
		out->entries[out->nent++] = (struct kvm_cpuid_entry2){
			.function = function,
			.index = i,
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = shifts[i],
			.ebx = numbers[i],
			.ecx = i | types[i] << 8,
			.edx = id,
		};
}

static bool is_amd(const struct kvm_cpuid2 *cpuid)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, 0, 0);

	/* "Auth" of AuthenticAMD, "Hygo" of HygonGenuine */
	return e && (e->ebx == 0x68747541 || e->ebx == 0x6f677948);
}

void cpuid_for_vcpu(const struct kvm_cpuid2 *supported, unsigned int id,
		    unsigned int count, bool deadline, struct kvm_cpuid2 *out)
{
	const struct kvm_cpuid_entry2 *leaf0 = cpuid_find(supported, 0, 0);
	uint32_t last = leaf0 ? leaf0->eax : 0;
	bool amd = is_amd(supported);

	out->nent = 0;
	/* 6 entries are reserved for the two topology leaves. */
	for (uint32_t i = 0;
	     i < supported->nent && out->nent < CPUID_ENTRIES_MAX - 6; i++) {
		struct kvm_cpuid_entry2 *e = &out->entries[out->nent];

		if (is_withheld(supported->entries[i].function))
			continue;
		*e = supported->entries[i];
		fix_entry(e, id, count, deadline, amd);
		out->nent++;
	}
	if (last >= 0xb)
		add_topology(out, 0xb, id, count);
	if (last >= 0x1f && !amd)
		add_topology(out, 0x1f, id, count);
}
