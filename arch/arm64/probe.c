/* SPDX-License-Identifier: BSD-2-Clause */
/* The arm64 lines of `thaw probe`.  Any thread. */
#include <stdio.h>

#include "arch/arm64/private.h"
#include "vmm/base/bytes.h"

/* A KVM device or a capability, and its text if supported or not. */
struct row {
	const char *name;
	bool is_device;
	unsigned int number;
	const char *yes, *no;
};

static const struct row rows[] = {
	{ "gicv3", true, KVM_DEV_TYPE_ARM_VGIC_V3,
	  "in-kernel interrupt controller",
	  "required: in-kernel GICv3; GICv2 is not supported" },
	{ "its", true, KVM_DEV_TYPE_ARM_VGIC_ITS, "MSI-X for virtio devices",
	  "required: MSIs of PCI devices" },
	{ "psci_0_2", false, KVM_CAP_ARM_PSCI_0_2,
	  "power off, reset, CPU start",
	  "required: CPU start, power off, reset" },
	{ "pmu", false, KVM_CAP_ARM_PMU_V3,
	  "performance counters exposed to guests",
	  "no performance counters in guests: KVM has no PMUv3" },
	{ "sve", false, KVM_CAP_ARM_SVE, "supported, not exposed to guests",
	  "not supported by this processor" },
	{ "pointer_auth", false, KVM_CAP_ARM_PTRAUTH_ADDRESS,
	  "supported, not exposed to guests",
	  "not supported by this processor" },
	{ "counter_offset", false, KVM_CAP_COUNTER_OFFSET,
	  "virtual and physical counters continue at a restore",
	  "only the virtual counter continues at a restore (Linux 6.4+)" },
	{ "undecoded_aborts", false, KVM_CAP_ARM_NISV_TO_USER,
	  "accesses that cannot be emulated: address reported",
	  "accesses that cannot be emulated: ENOSYS" },
};

/* The number of guest physical address bits. */
static void probe_ipa(const struct kvm *kvm, struct probe_item *item)
{
	int bits = kvm_check_cap(kvm->fd, KVM_CAP_ARM_VM_IPA_SIZE);

	*item = (struct probe_item){ .name = "address_bits", .yes = bits > 0 };
	if (bits > 0)
		snprintf(item->text, sizeof(item->text),
			 "%d-bit guest physical addresses", bits);
	else
		snprintf(item->text, sizeof(item->text),
			 "40-bit guest physical addresses, fixed");
}

size_t arch_probe(const struct kvm *kvm, const struct kvm_vm *vm,
		  struct probe_item *items, size_t room)
{
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows) && count < room; i++) {
		const struct row *row = &rows[i];
		bool yes = row->is_device ?
				   arm64_device_test(vm, row->number) :
				   kvm_check_cap(vm->fd, row->number) > 0;

		items[count] =
			(struct probe_item){ .name = row->name, .yes = yes };
		snprintf(items[count].text, sizeof(items[count].text), "%s",
			 yes ? row->yes : row->no);
		count++;
	}
	if (count < room)
		probe_ipa(kvm, &items[count++]);
	return count;
}
