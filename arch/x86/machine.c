/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parts of an x86 machine outside its vCPUs: KVM's pages, the interrupt
 * controllers, the power device.
 *
 * Owns struct arch_private.  Main thread.
 */
#include <errno.h>
#include <stdlib.h>

#include "arch/x86/clock.h"
#include "arch/x86/cpuid.h"
#include "arch/x86/power.h"
#include "arch/x86/x86.h"
#include "vmm/base/log.h"

/* Intel SDM volume 3, 11.4.1 and 11.5.1. */
#define LAPIC_LVT_LINT0	 0x350
#define LAPIC_LVT_MASKED UINT32_C(0x10000)

extern const unsigned char thaw_guest_image[];
extern const unsigned char thaw_guest_image_end[];

/* Places KVM's pages; only some Intel hosts use them. */
static int place_kvm_pages(struct machine *machine)
{
	uint64_t identity_map = X86_IDENTITY_MAP;
	int err;

	err = kvm_call(machine->vm.fd, KVM_SET_IDENTITY_MAP_ADDR,
		       &identity_map);
	if (err < 0)
		return err;
	err = kvm_call(machine->vm.fd, KVM_SET_TSS_ADDR, X86_TSS);
	return err < 0 ? err : 0;
}

/*
 * Enables the KVM capabilities that make vCPU state complete, and keeps the
 * 8259s disconnected.
 */
static void enable_caps(struct machine *machine)
{
	int xsave = kvm_check_cap(machine->vm.fd, KVM_CAP_XSAVE2);

	kvm_enable_cap(machine->vm.fd, KVM_CAP_EXCEPTION_PAYLOAD, 1);
	kvm_enable_cap(machine->vm.fd, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1);
	/* Else an INIT of vCPU 0 resets LINT0. */
	kvm_enable_cap(machine->vm.fd, KVM_CAP_DISABLE_QUIRKS2,
		       KVM_X86_QUIRK_LINT0_REENABLED);
	machine->arch->xsave_bytes = xsave > 0 ? (size_t)xsave : 0;
}

/* Called before the first memslot. */
int arch_vm_setup(struct machine *machine)
{
	struct arch_private *arch = calloc(1, sizeof(*arch));
	int err;

	if (!arch)
		return log_errno(ENOMEM, "set up the machine");
	machine->arch = arch;
	err = cpuid_supported(&machine->kvm, &arch->cpuid);
	if (err)
		return err;
	arch->has_deadline =
		kvm_check_cap(machine->vm.fd, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	arch->has_sregs2 = kvm_check_cap(machine->vm.fd, KVM_CAP_SREGS2) > 0;
	enable_caps(machine);
	return place_kvm_pages(machine);
}

/*
 * In-kernel LAPICs and IOAPIC. No PIT: a guest with hardware-reduced ACPI uses
 * kvmclock and the LAPIC timer.
 */
int arch_irqchip_create(struct machine *machine)
{
	int err = kvm_call(machine->vm.fd, KVM_CREATE_IRQCHIP, 0);

	return err < 0 ? err : 0;
}

/*
 * Masks LINT0 of the first LAPIC: there are no 8259s.
 *
 * The write also rebuilds KVM's map of interrupt targets, which KVM does when a
 * LAPIC changes.  A vCPU is created before its own LAPIC is in the map.  Most
 * guests enable their LAPIC before they start a processor, which rebuilds the
 * map; others could not reach the last vCPU.
 */
static int prepare_lapic(const struct machine *machine)
{
	struct kvm_lapic_state lapic;
	int fd = machine->cpus[0].fd;
	int err = kvm_call(fd, KVM_GET_LAPIC, &lapic);

	if (err < 0)
		return err;
	put_le32(lapic.regs + LAPIC_LVT_LINT0, LAPIC_LVT_MASKED);
	err = kvm_call(fd, KVM_SET_LAPIC, &lapic);
	return err < 0 ? err : 0;
}

/* Creates the power device; the vCPUs exist. */
int arch_irqchip_finish(struct machine *machine)
{
	int err = prepare_lapic(machine);

	if (!err)
		err = clocks_create(machine);
	return err ? err : power_create(machine);
}

void arch_vm_finish(struct machine *machine)
{
	if (!machine->arch)
		return;
	free(machine->arch->cpuid);
	free(machine->arch->msrs);
	free(machine->arch->clocks);
	free(machine->arch);
	machine->arch = NULL;
}

const uint8_t *arch_embedded_guest(size_t *len_bytes)
{
	*len_bytes = (size_t)((uintptr_t)thaw_guest_image_end -
			      (uintptr_t)thaw_guest_image);
	return thaw_guest_image;
}
