/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest physical address map of an arm64 machine.  RAM starts at 1 GiB and is
 * contiguous; everything else is below, so 32-bit PCI windows fit and the
 * addresses of devices do not depend on the RAM size.
 *
 * The GSI of a line is its SPI: GSI n has the interrupt id 32 + n (Arm IHI
 * 0069, 2.2.1).  KVM routes GSIs to SPIs in the same way.
 */
#ifndef ARCH_ARM64_LAYOUT_H
#define ARCH_ARM64_LAYOUT_H

#include <stdint.h>

#include "vmm/arch.h"

#define ARM64_RAM_GPA UINT64_C(0x40000000)

/*
 * The start of RAM is reserved in the device tree for the generation id: a
 * whole page at every kernel page size.  The kernel starts at the next 2 MiB
 * boundary.
 */
#define ARM64_OWN_BYTES	     UINT64_C(0x10000)
#define ARM64_GENERATION_GPA ARM64_RAM_GPA
#define ARM64_KERNEL_GPA     (ARM64_RAM_GPA + UINT64_C(0x200000))

/*
 * GICv3: a 64 KiB distributor, an ITS of two 64 KiB pages, and two 64 KiB pages
 * for each redistributor (Arm IHI 0069, 12.10), up to MACHINE_CPUS_MAX.
 */
#define ARM64_GICD_GPA	  UINT64_C(0x08000000)
#define ARM64_GICD_BYTES  UINT64_C(0x00010000)
#define ARM64_ITS_GPA	  UINT64_C(0x08100000)
#define ARM64_ITS_BYTES	  UINT64_C(0x00020000)
#define ARM64_GICR_GPA	  UINT64_C(0x0a000000)
#define ARM64_GICR_STRIDE UINT64_C(0x00020000)
#define ARM64_GICR_BYTES  (ARM64_GICR_STRIDE * MACHINE_CPUS_MAX)

/* Non-PCI devices, one page each. */
#define ARM64_SERIAL_GPA UINT64_C(0x09000000)
#define ARM64_RTC_GPA	 UINT64_C(0x09001000)

#define ARM64_ECAM_GPA	     UINT64_C(0x0f000000)
#define ARM64_ECAM_BYTES     UINT64_C(0x00100000)
#define ARM64_PCI_MMIO_GPA   UINT64_C(0x10000000)
#define ARM64_PCI_MMIO_BYTES UINT64_C(0x30000000)

/* SPIs, which are GSIs. */
#define ARM64_SERIAL_SPI 1
#define ARM64_RTC_SPI	 2
#define ARM64_EVENT_SPI	 3 /* generation id changed */
#define ARM64_INTX_SPI	 4
#define ARM64_INTX_COUNT 4
#define ARM64_BUTTON_SPI 8 /* the power button */
#define ARM64_SPI_COUNT	 32

/* First interrupt ids of SPIs and PPIs. */
#define ARM64_SPI_INTID 32
#define ARM64_PPI_INTID 16

/*
 * Private interrupts, by interrupt id.  KVM defines the timers'
 * (Documentation/virt/kvm/devices/vcpu.rst, 2).  The PMU's is the one that the
 * Arm Base System Architecture recommends.
 */
#define ARM64_PTIMER_SECURE_INTID 29
#define ARM64_PTIMER_INTID	  30
#define ARM64_VTIMER_INTID	  27
#define ARM64_HTIMER_INTID	  26
#define ARM64_PMU_INTID		  23

#endif
