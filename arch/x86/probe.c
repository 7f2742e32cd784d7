/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The x86 lines of `thaw probe`: a table of capabilities, and CPUID. One
 * thread.
 */
#include <stdarg.h>
#include <stdlib.h>

#include "arch/x86/cpuid.h"
#include "arch/x86/x86.h"
#include "vmm/base/cleanup.h"

/* A capability, and its text if supported or not. */
struct cap_row {
	const char *name;
	unsigned int cap;
	const char *yes, *no;
};

static const struct cap_row rows[] = {
	{ "irqchip", KVM_CAP_IRQCHIP,
	  "in-kernel interrupt controllers: local APICs, IOAPIC",
	  "required: in-kernel interrupt controllers" },
	{ "tsc_deadline", KVM_CAP_TSC_DEADLINE_TIMER,
	  "TSC deadline timer exposed to guests",
	  "guests use the local APIC timer" },
	{ "tsc_control", KVM_CAP_TSC_CONTROL,
	  "a restored guest keeps its TSC frequency",
	  "a restored guest runs at this host's TSC frequency" },
	{ "kvmclock", KVM_CAP_ADJUST_CLOCK,
	  "guest time continues across snapshots",
	  "guest time is not corrected at a restore" },
	{ "xsave", KVM_CAP_XSAVE, "complete vector state in snapshots",
	  "required for snapshots" },
	{ "sregs2", KVM_CAP_SREGS2, "PAE page directory pointers in snapshots",
	  "snapshots lack the PAE page directory pointers" },
};

static void __attribute__((format(printf, 4, 5)))
fill(struct probe_item *item, const char *name, bool yes, const char *format,
     ...)
{
	va_list ap;

	item->name = name;
	item->yes = yes;
	va_start(ap, format);
	vsnprintf(item->text, sizeof(item->text), format, ap);
	va_end(ap);
}

/* CPUID: x2APIC and the number of guest physical address bits. */
static size_t probe_cpuid(const struct kvm *kvm, struct probe_item *items,
			  size_t room)
{
	CLEANUP_FREE struct kvm_cpuid2 *cpuid = NULL;
	struct kvm_cpuid_entry2 *leaf1;
	bool x2apic;

	if (room < 2 || cpuid_supported(kvm, &cpuid))
		return 0;
	leaf1 = cpuid_find(cpuid, 1, 0);
	x2apic = leaf1 && (leaf1->ecx & UINT32_C(1) << 21);
	fill(&items[0], "x2apic", x2apic, "%s",
	     x2apic ? "IPIs without exits to user space" :
		      "guests use the memory-mapped local APIC");
	fill(&items[1], "address_bits", true, "%u-bit guest physical addresses",
	     cpuid_address_bits(cpuid));
	return 2;
}

size_t arch_probe(const struct kvm *kvm, const struct kvm_vm *vm,
		  struct probe_item *items, size_t room)
{
	size_t n = 0;

	for (; n < ARRAY_SIZE(rows) && n < room; n++) {
		bool yes =
			kvm_check_cap(vm ? vm->fd : kvm->fd, rows[n].cap) > 0;

		fill(&items[n], rows[n].name, yes, "%s",
		     yes ? rows[n].yes : rows[n].no);
	}
	return n + probe_cpuid(kvm, items + n, room - n);
}
