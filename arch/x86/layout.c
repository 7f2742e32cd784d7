/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest physical address map and interrupt routing.
 *
 * Constant data.  Any thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "arch/x86/cpuid.h"
#include "arch/x86/x86.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"

/* Room for the boot structures and tables. */
#define RAM_BYTES_MIN (2 * MIB)

/* KVM_IRQ_LINE takes the GSI itself. */
static uint32_t line_encode(uint32_t gsi)
{
	return gsi;
}

/*
 * GSI n is IOAPIC input n.  KVM's 8259s are not routed, and LINT0 is masked
 * (prepare_lapic()): a guest with hardware-reduced ACPI does not mask them, and
 * they would deliver vectors that it never set up.
 */
static size_t line_routes(struct kvm_irq_routing_entry *entries, size_t room)
{
	size_t n = 0;

	for (; n < X86_LINES && n < room; n++)
		entries[n] = (struct kvm_irq_routing_entry){
			.gsi = (uint32_t)n,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC,
			.u.irqchip.pin = (uint32_t)n,
		};
	return n;
}

void arch_layout(struct layout *layout)
{
	*layout = (struct layout){
		.ecam_gpa = X86_ECAM,
		.ecam_bytes = X86_ECAM_BYTES,
		.pci_mmio_gpa = X86_PCI_MMIO,
		.pci_mmio_bytes = X86_PCI_MMIO_BYTES,
		.intx_first = X86_INTX_GSI,
		.intx_count = X86_INTX_GSIS,
		.serial_is_pio = true,
		.serial_base = X86_SERIAL_PORT,
		.serial_gsi = X86_SERIAL_GSI,
		.event_gsi = X86_EVENT_GSI,
		.generation_gpa = X86_GENERATION_ID,
		.irq_map = {
			.line_count = X86_LINES,
			.msi_first = X86_LINES,
			.line_encode = line_encode,
			.line_routes = line_routes,
		},
	};
}

static int guest_address_bits(const struct kvm *kvm, unsigned int *bits)
{
	CLEANUP_FREE struct kvm_cpuid2 *cpuid = NULL;
	int err = cpuid_supported(kvm, &cpuid);

	if (!err)
		*bits = cpuid_address_bits(cpuid);
	return err;
}

int arch_ram_ranges(const struct kvm *kvm, uint64_t size_bytes,
		    struct memory_range ranges[MEMORY_RANGES_MAX])
{
	uint64_t above = size_bytes > X86_HOLE ? size_bytes - X86_HOLE : 0;
	unsigned int bits;
	int err;

	if (size_bytes < RAM_BYTES_MIN)
		return log_fail(
			ERANGE,
			"%" PRIu64
			" KiB of memory are too little; the minimum is 2 MiB",
			size_bytes / KIB);
	ranges[0] = (struct memory_range){ 0, size_bytes - above };
	if (!above)
		return 1;
	err = guest_address_bits(kvm, &bits);
	if (err)
		return err;
	if (!range_within(X86_HOLE_END, above, UINT64_C(1) << bits))
		return log_fail(ERANGE,
				"%" PRIu64
				" GiB of memory exceed the %u bits of guest "
				"physical address that KVM supports",
				size_bytes / GIB, bits);
	ranges[1] = (struct memory_range){ X86_HOLE_END, above };
	return 2;
}

int arch_vm_type(const struct kvm *kvm, gpa_t ram_end, unsigned long *type)
{
	(void)kvm;
	(void)ram_end;
	*type = 0;
	return 0;
}

const char *arch_name(void)
{
	return "x86_64";
}
