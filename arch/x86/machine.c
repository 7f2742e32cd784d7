/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An x86 machine around its vCPUs: KVM's own pages, the interrupt controller,
 * the power device.
 *
 * Owns struct arch_private.  Set-up thread.
 */
#include <errno.h>
#include <stdlib.h>

#include "arch/x86/cpuid.h"
#include "arch/x86/power.h"
#include "arch/x86/x86.h"
#include "vmm/base/log.h"

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

/* After the vCPUs: the device that belongs to the architecture. */
int arch_irqchip_finish(struct machine *machine)
{
	return power_create(machine);
}

/* Frees what the architecture holds. */
void arch_vm_finish(struct machine *machine)
{
	if (!machine->arch)
		return;
	free(machine->arch->cpuid);
	free(machine->arch->msrs);
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
