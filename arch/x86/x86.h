/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by the files of arch/x86: the map of guest physical addresses and
 * ports, and the architecture's part of a machine.
 */
#ifndef ARCH_X86_X86_H
#define ARCH_X86_X86_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/arch.h"
#include "vmm/base/bytes.h"

/*
 * Guest physical addresses, in order.
 *
 * The first 636 KiB are RAM; the boot structures there are free once the guest
 * runs.  The range from 0x9f000 to 1 MiB is reserved: generation id, ACPI
 * tables, and the reset vector.
 */
#define X86_GDT		  UINT64_C(0x1000)
#define X86_ZERO_PAGE	  UINT64_C(0x2000) /* boot_params, or PVH start info */
#define X86_PAGE_TABLES	  UINT64_C(0x3000) /* six pages */
#define X86_CMDLINE	  UINT64_C(0x9000)
#define X86_CMDLINE_BYTES UINT64_C(0x1000)
#define X86_LOW_RAM_END	  UINT64_C(0x9f000)
#define X86_GENERATION_ID UINT64_C(0x9f000)
#define X86_ACPI	  UINT64_C(0xe0000)
#define X86_ACPI_BYTES	  UINT64_C(0x10000)
#define X86_RESET_VECTOR  UINT64_C(0xffff0) /* f000:fff0 in real mode */
#define X86_HIGH_RAM	  UINT64_C(0x100000)

/* RAM below 3 GiB, the rest from 4 GiB. */
#define X86_HOLE	   (3 * GIB)
#define X86_HOLE_END	   (4 * GIB)
#define X86_PCI_MMIO	   X86_HOLE
#define X86_PCI_MMIO_BYTES UINT64_C(0x28000000)
#define X86_ECAM	   UINT64_C(0xe8000000)
#define X86_ECAM_BYTES	   MIB
/* Fixed by hardware and KVM (Intel SDM volume 3, 11.4.1). */
#define X86_IOAPIC UINT64_C(0xfec00000)
#define X86_LAPIC  UINT64_C(0xfee00000)
/* KVM's pages on Intel hosts without unrestricted guest: 1 and 3. */
#define X86_IDENTITY_MAP UINT64_C(0xfeffc000)
#define X86_TSS		 UINT64_C(0xfeffd000)
#define X86_KVM_BYTES	 UINT64_C(0x4000)

/* Interrupt lines: GSI n is IOAPIC input n of 24. */
#define X86_LINES	 24
#define X86_SERIAL_GSI	 4
#define X86_EVENT_GSI	 5
#define X86_INTX_GSI	 16
#define X86_INTX_GSIS	 8
#define X86_SERIAL_PORT	 0x3f8
#define X86_SERIAL_PORTS 8

/* Ports of the power device; see power.h. */
#define X86_POWER_PORT	UINT64_C(0x600)
#define X86_POWER_PORTS 8

struct clocks;

/* The architecture's part of a machine; machine->arch owns it. */
struct arch_private {
	struct kvm_cpuid2 *cpuid; /* KVM_GET_SUPPORTED_CPUID */
	struct kvm_msr_list
		*msrs; /* KVM_GET_MSR_INDEX_LIST; read at the first save */
	atomic_uint events; /* pending bits of enum power_event */
	bool has_deadline; /* KVM emulates the TSC deadline timer */
	bool has_sregs2;
	size_t xsave_bytes; /* size of KVM_GET_XSAVE2; 0: KVM_GET_XSAVE */
	struct clocks *clocks; /* clock.h */
};

#endif
