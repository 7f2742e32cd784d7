/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM devices and registers.  Stateless; any thread. */
#include "arch/arm64/private.h"
#include "vmm/base/log.h"

int arm64_device_create(const struct kvm_vm *vm, uint32_t type)
{
	struct kvm_create_device device = { .type = type };
	int err = kvm_ioctl(vm->fd, KVM_CREATE_DEVICE, &device);

	return err < 0 ? err : (int)device.fd;
}

bool arm64_device_test(const struct kvm_vm *vm, uint32_t type)
{
	struct kvm_create_device device = { .type = type,
					    .flags = KVM_CREATE_DEVICE_TEST };

	return kvm_ioctl(vm->fd, KVM_CREATE_DEVICE, &device) >= 0;
}

int arm64_reg_get(const struct kvm_vcpu *cpu, uint64_t id, uint64_t *value)
{
	struct kvm_one_reg reg = { .id = id,
				   .addr = (uint64_t)(uintptr_t)value };

	*value = 0;
	return kvm_ioctl(cpu->fd, KVM_GET_ONE_REG, &reg);
}

int arm64_reg_set(const struct kvm_vcpu *cpu, uint64_t id, uint64_t value)
{
	struct kvm_one_reg reg = { .id = id,
				   .addr = (uint64_t)(uintptr_t)&value };

	return kvm_ioctl(cpu->fd, KVM_SET_ONE_REG, &reg);
}

int arm64_mpidr(const struct kvm_vcpu *cpu, uint64_t *mpidr)
{
	int err = arm64_reg_get(cpu, REG_MPIDR_EL1, mpidr);

	return err != 0 ? log_errno(-err, "vCPU %u: read MPIDR_EL1", cpu->id) :
			  0;
}
