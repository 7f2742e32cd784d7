/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An x86 machine around its vCPUs: KVM's own pages, the interrupt controller,
 * the power device.
 *
 * Owns struct arch_private.  Set-up thread.
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

/* Tells KVM where its pages may lie; only some Intel hosts use them. */
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
 * What makes the state that a vCPU can be saved with complete, where KVM has
 * it; and no 8259 by surprise.
 */
static void enable_caps(struct machine *machine)
{
	int xsave = kvm_check_cap(machine->vm.fd, KVM_CAP_XSAVE2);

	kvm_enable_cap(machine->vm.fd, KVM_CAP_EXCEPTION_PAYLOAD, 1);
	kvm_enable_cap(machine->vm.fd, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1);
	/* Without this, LINT0 would come back when vCPU 0 gets an INIT. */
	kvm_enable_cap(machine->vm.fd, KVM_CAP_DISABLE_QUIRKS2,
		       KVM_X86_QUIRK_LINT0_REENABLED);
	machine->arch->xsave_bytes = xsave > 0 ? (size_t)xsave : 0;
}

/* The VM exists, no memslot yet. */
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
 * The in-kernel LAPICs and IOAPIC.  No PIT: a guest with hardware-reduced ACPI
 * does not look for one, and has kvmclock and the LAPIC timer.
 */
int arch_irqchip_create(struct machine *machine)
{
	int err = kvm_call(machine->vm.fd, KVM_CREATE_IRQCHIP, 0);

	return err < 0 ? err : 0;
}

/*
 * Sets up the first LAPIC as a guest without 8259s wants it: LINT0, which is
 * where they would be, is masked.
 *
 * The write has an effect on all vCPUs as well.  KVM looks up the target of an
 * interrupt in a map that it makes when a LAPIC changes; a vCPU's creation
 * comes just too early for its own LAPIC to be in it.  Most guests switch their
 * LAPIC on before they start a processor, which makes the map anew; a guest
 * that does not could never reach the last one.
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

/* After the vCPUs: the device that belongs to the architecture. */
int arch_irqchip_finish(struct machine *machine)
{
	int err = prepare_lapic(machine);

	if (!err)
		err = clocks_create(machine);
	return err ? err : power_create(machine);
}

/* Frees what the architecture holds. */
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

/* The embedded guest, between two symbols of its object file. */
const uint8_t *arch_embedded_guest(size_t *len_bytes)
{
	*len_bytes = (size_t)((uintptr_t)thaw_guest_image_end -
			      (uintptr_t)thaw_guest_image);
	return thaw_guest_image;
}
