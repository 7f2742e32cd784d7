/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VM: required KVM capabilities, the counter of all vCPUs, teardown.
 * Main thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "arch/arm64/layout.h"
#include "arch/arm64/private.h"
#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"

/* Required capabilities. */
static const struct need {
	unsigned int cap;
	const char *words;
} needs[] = {
	{ KVM_CAP_ONE_REG, "KVM_GET_ONE_REG and KVM_SET_ONE_REG" },
	{ KVM_CAP_DEVICE_CTRL, "device control (for an in-kernel GICv3)" },
	{ KVM_CAP_ARM_PSCI_0_2, "PSCI 0.2" },
	{ KVM_CAP_MP_STATE, "vCPU run states (KVM_CAP_MP_STATE)" },
};

/* Refuses a host without a required capability, with its name. */
static int check_needs(const struct kvm_vm *vm)
{
	for (size_t i = 0; i < ARRAY_SIZE(needs); i++) {
		if (kvm_check_cap(vm->fd, needs[i].cap) <= 0)
			return log_fail(EOPNOTSUPP,
					"this KVM lacks %s, required on arm64",
					needs[i].words);
	}
	return 0;
}

/*
 * Chooses the vCPU type: the host's preferred target, with a PMU if supported.
 */
static int choose_init(struct machine *machine, struct kvm_vcpu_init *init)
{
	int err = kvm_call(machine->vm.fd, KVM_ARM_PREFERRED_TARGET, init);

	if (err < 0)
		return err;
	init->features[0] |= 1U << KVM_ARM_VCPU_PSCI_0_2;
	if (kvm_check_cap(machine->vm.fd, KVM_CAP_ARM_PMU_V3) > 0)
		init->features[0] |= 1U << KVM_ARM_VCPU_PMU_V3;
	return 0;
}

int arch_vm_setup(struct machine *machine)
{
	struct arch_private *arch;
	int err = check_needs(&machine->vm);

	if (err != 0)
		return err;
	arch = calloc(1, sizeof(*arch));
	if (arch == NULL)
		return log_errno(ENOMEM, "set up the VM");
	arch->gic_fd = -1;
	arch->its_fd = -1;
	arch->has_counter_offset =
		kvm_check_cap(machine->vm.fd, KVM_CAP_COUNTER_OFFSET) > 0;
	machine->arch = arch;
	/*
	 * Makes KVM report the address of an access without instruction
	 * syndrome outside memory, instead of -ENOSYS.
	 */
	kvm_enable_cap(machine->vm.fd, KVM_CAP_ARM_NISV_TO_USER, 0);
	return choose_init(machine, &arch->init);
}

void arch_vm_finish(struct machine *machine)
{
	struct arch_private *arch = machine->arch;

	if (arch == NULL)
		return;
	if (arch->its_fd >= 0)
		close(arch->its_fd);
	if (arch->gic_fd >= 0)
		close(arch->gic_fd);
	free(arch);
	machine->arch = NULL;
}

/* Both events are edges: a pulse on a dedicated line. */
int arch_notify(struct machine *machine, enum machine_notice notice)
{
	uint32_t gsi = notice == MACHINE_NOTICE_POWER_BUTTON ?
			       ARM64_BUTTON_SPI :
			       ARM64_EVENT_SPI;

	irq_line_set(&machine->irqs, gsi, 0, true);
	irq_line_set(&machine->irqs, gsi, 0, false);
	return 0;
}

int arm64_counter_set(struct machine *machine, uint64_t ticks)
{
	const struct kvm_vcpu *cpu = &machine->cpus[0];
	struct kvm_arm_counter_offset offset = { 0 };
	uint64_t now;
	int err;

	if (!machine->arch->has_counter_offset) {
		/* This sets the virtual counter of all vCPUs, and only that. */
		err = arm64_reg_set(cpu, KVM_REG_ARM_TIMER_CNT, ticks);
		return err != 0 ? log_errno(-err, "set the guest's counter") :
				  0;
	}
	/* With offset 0 the guest's counter equals the host's. */
	err = kvm_call(machine->vm.fd, KVM_ARM_SET_COUNTER_OFFSET, &offset);
	if (err < 0)
		return err;
	err = arm64_reg_get(cpu, KVM_REG_ARM_TIMER_CNT, &now);
	if (err != 0)
		return log_errno(-err, "read the guest's counter");
	offset.counter_offset = now - ticks;
	err = kvm_call(machine->vm.fd, KVM_ARM_SET_COUNTER_OFFSET, &offset);
	return err < 0 ? err : 0;
}

/* Readable from user space (Arm DDI 0487, D11.1). */
uint64_t arm64_counter_hz(void)
{
	uint64_t hz;

	__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(hz));
	return hz;
}

/*
 * Records the counter.  KVM keeps timers as counter values, which it checks
 * when it enters a vCPU.
 */
int arch_clocks_stop(struct machine *machine)
{
	int err = arm64_reg_get(&machine->cpus[0], KVM_REG_ARM_TIMER_CNT,
				&machine->arch->counter.ticks);

	machine->arch->counter.wall_ns = clock_wall_ns();
	return err != 0 ? log_errno(-err, "read the guest's counter") : 0;
}

int arch_clocks_start(struct machine *machine, bool follow)
{
	uint64_t gap_ns =
		follow ? clock_wall_since_ns(machine->arch->counter.wall_ns) :
			 0;

	return arm64_counter_set(machine,
				 machine->arch->counter.ticks +
					 (uint64_t)((unsigned __int128)gap_ns *
						    arm64_counter_hz() /
						    NS_PER_S));
}
