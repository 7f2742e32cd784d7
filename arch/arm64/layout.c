/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The layout of an arm64 machine, and the VM type that it requires.
 *
 * Constant data; any thread.
 */
#include <errno.h>

#include "arch/arm64/layout.h"
#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

/* KVM_IRQ_LINE on arm64: type, vCPU and id in one word (api.rst 4.25). */
#define IRQ_LINE_TYPE_SPI (UINT32_C(1) << 24)

/* IPA size of a VM of type 0 (api.rst 4.2). */
#define IPA_BITS_DEFAULT 40
#define IPA_BITS_LEAST	 32

/* The KVM_IRQ_LINE number of a line. */
static uint32_t line_encode(uint32_t gsi)
{
	return IRQ_LINE_TYPE_SPI | (ARM64_SPI_INTID + gsi);
}

/* One route for each line, to the SPI of the same number. */
static size_t line_routes(struct kvm_irq_routing_entry *entries, size_t room)
{
	size_t count = ARM64_SPI_COUNT < room ? ARM64_SPI_COUNT : room;

	for (size_t i = 0; i < count; i++) {
		entries[i] = (struct kvm_irq_routing_entry){
			.gsi = (uint32_t)i,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { .irqchip = 0, .pin = (uint32_t)i },
		};
	}
	return count;
}

void arch_layout(struct layout *layout)
{
	*layout = (struct layout){
		.ecam_gpa = ARM64_ECAM_GPA,
		.ecam_bytes = ARM64_ECAM_BYTES,
		.pci_mmio_gpa = ARM64_PCI_MMIO_GPA,
		.pci_mmio_bytes = ARM64_PCI_MMIO_BYTES,
		.intx_first = ARM64_INTX_SPI,
		.intx_count = ARM64_INTX_COUNT,
		.serial_is_pio = false,
		.serial_base = ARM64_SERIAL_GPA,
		.serial_gsi = ARM64_SERIAL_SPI,
		.rtc_gpa = ARM64_RTC_GPA,
		.rtc_gsi = ARM64_RTC_SPI,
		.event_gsi = ARM64_EVENT_SPI,
		.generation_gpa = ARM64_GENERATION_GPA,
		.irq_map = {
			.line_count = ARM64_SPI_COUNT,
			.msi_first = ARM64_SPI_COUNT,
			.msi_devid = true,
			.line_encode = line_encode,
			.line_routes = line_routes,
		},
	};
}

/* The maximum number of guest physical address bits. */
static unsigned int ipa_bits_max(const struct kvm *kvm)
{
	int bits = kvm_check_cap(kvm->fd, KVM_CAP_ARM_VM_IPA_SIZE);

	return bits > 0 ? (unsigned int)bits : IPA_BITS_DEFAULT;
}

/* The minimum number of bits for addresses below @end. */
static unsigned int bits_for(gpa_t end)
{
	unsigned int bits = IPA_BITS_LEAST;

	while (bits < 64 && (end - 1) >> bits != 0)
		bits++;
	return bits;
}

int arch_ram_ranges(const struct kvm *kvm, uint64_t size_bytes,
		    struct memory_range ranges[MEMORY_RANGES_MAX])
{
	unsigned int most = ipa_bits_max(kvm);
	uint64_t room = most >= 64 ? UINT64_MAX - ARM64_RAM_GPA :
				     (UINT64_C(1) << most) - ARM64_RAM_GPA;

	if (size_bytes > room)
		return log_fail(
			ERANGE,
			"%llu MiB of memory exceed the %u bits of guest "
			"physical address that KVM supports: at most %llu MiB",
			(unsigned long long)(size_bytes / MIB), most,
			(unsigned long long)(room / MIB));
	ranges[0] = (struct memory_range){ .gpa = ARM64_RAM_GPA,
					   .size_bytes = size_bytes };
	return 1;
}

int arch_vm_type(const struct kvm *kvm, gpa_t ram_end, unsigned long *type)
{
	unsigned int need = bits_for(ram_end);
	unsigned int most = ipa_bits_max(kvm);

	if (need > most)
		return log_fail(ERANGE,
				"memory up to %#llx needs %u bits of guest "
				"physical address; KVM supports %u bits",
				(unsigned long long)ram_end, need, most);
	/* Type 0 works on every KVM with the default size. */
	if (need <= IPA_BITS_DEFAULT && most >= IPA_BITS_DEFAULT)
		*type = 0;
	else
		*type = KVM_VM_TYPE_ARM_IPA_SIZE(
			need > IPA_BITS_DEFAULT ? need : most);
	return 0;
}

const char *arch_name(void)
{
	return "aarch64";
}
