/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM's GICv3 and ITS (Documentation/virt/kvm/devices/arm-vgic-v3.rst and
 * arm-vgic-its.rst).
 *
 * The GIC is created before the vCPUs and initialised after them, because its
 * initialisation creates a redistributor for each vCPU; the ITS is last.
 * Main thread.
 */
#include <errno.h>

#include "arch/arm64/layout.h"
#include "arch/arm64/private.h"
#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

/* Sets an attribute; @what is for the error message. */
static int set(int fd, uint32_t group, uint64_t attr, const void *value,
	       const char *what)
{
	int err = kvm_attr_set(fd, group, attr, value);

	return err < 0 ? log_errno(-err, "%s", what) : 0;
}

/* Logs why there is no GICv3. */
static int refuse(const struct kvm_vm *vm, int err)
{
	if (arm64_device_test(vm, KVM_DEV_TYPE_ARM_VGIC_V2))
		return log_fail(EOPNOTSUPP, "this host has a GICv2 only; GICv3 "
					    "or later is required");
	return log_errno(-err, "create the GICv3");
}

int arch_irqchip_create(struct machine *machine)
{
	struct arch_private *arch = machine->arch;
	const uint64_t dist = ARM64_GICD_GPA, redist = ARM64_GICR_GPA;
	const uint32_t irqs = ARM64_SPI_INTID + ARM64_SPI_COUNT;
	int fd = arm64_device_create(&machine->vm, KVM_DEV_TYPE_ARM_VGIC_V3);
	int err;

	if (fd < 0)
		return refuse(&machine->vm, fd);
	arch->gic_fd = fd;
	err = set(fd, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &irqs,
		  "GICv3: set the number of interrupts");
	if (err == 0)
		err = set(fd, KVM_DEV_ARM_VGIC_GRP_ADDR,
			  KVM_VGIC_V3_ADDR_TYPE_DIST, &dist,
			  "GICv3: set the distributor address");
	if (err == 0)
		err = set(fd, KVM_DEV_ARM_VGIC_GRP_ADDR,
			  KVM_VGIC_V3_ADDR_TYPE_REDIST, &redist,
			  "GICv3: set the redistributor address");
	return err;
}

static int its_create(struct machine *machine)
{
	const uint64_t base = ARM64_ITS_GPA;
	int fd = arm64_device_create(&machine->vm, KVM_DEV_TYPE_ARM_VGIC_ITS);
	int err;

	if (fd < 0)
		return log_errno(-fd, "create the ITS");
	machine->arch->its_fd = fd;
	err = set(fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, &base,
		  "ITS: set the address");
	if (err == 0)
		err = set(fd, KVM_DEV_ARM_VGIC_GRP_CTRL,
			  KVM_DEV_ARM_VGIC_CTRL_INIT, NULL, "ITS: initialise");
	return err;
}

int arch_irqchip_finish(struct machine *machine)
{
	int err = set(machine->arch->gic_fd, KVM_DEV_ARM_VGIC_GRP_CTRL,
		      KVM_DEV_ARM_VGIC_CTRL_INIT, NULL, "GICv3: initialise");

	if (err == 0)
		err = its_create(machine);
	if (err == 0)
		err = arm64_pmu_finish(machine);
	/*
	 * Both guest counters start at zero, so one offset is enough at a
	 * restore.
	 */
	if (err == 0 && machine->arch->has_counter_offset)
		err = arm64_counter_set(machine, 0);
	return err;
}
