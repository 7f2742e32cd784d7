/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by the files of arch/arm64: the architecture's part of a machine, KVM
 * devices and registers.
 *
 * Threads: set-up is on the main thread; a vCPU's registers are accessed by its thread,
 * or while it does not run.
 */
#ifndef ARCH_ARM64_PRIVATE_H
#define ARCH_ARM64_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/arm64/uapi.h"
#include "vmm/arch.h"

struct arch_private {
	int gic_fd, its_fd; /* KVM devices; -1: not created */
	/* Initialisation of every vCPU, except POWER_OFF. */
	struct kvm_vcpu_init init;
	bool has_counter_offset; /* KVM_CAP_COUNTER_OFFSET */
	/* Recorded counter, by arch_clocks_stop() or a load. */
	struct {
		uint64_t ticks, wall_ns;
	} counter;
};

/* Whether the vCPUs have feature KVM_ARM_VCPU_@bit. */
static inline bool arm64_has_feature(const struct arch_private *arch,
				     unsigned int bit)
{
	return (arch->init.features[bit / 32] >> (bit % 32) & 1) != 0;
}

/*
 * KVM devices (Documentation/virt/kvm/devices/).  Create: the descriptor or
 * -errno; test: whether KVM supports the type.  Silent.
 */
int arm64_device_create(const struct kvm_vm *vm, uint32_t type);
bool arm64_device_test(const struct kvm_vm *vm, uint32_t type);

/* One register of up to 64 bits; silent. 0 or -errno. */
int arm64_reg_get(const struct kvm_vcpu *cpu, uint64_t id, uint64_t *value);
int arm64_reg_set(const struct kvm_vcpu *cpu, uint64_t id, uint64_t value);

/* MPIDR_EL1 of a vCPU; -errno, logged. */
int arm64_mpidr(const struct kvm_vcpu *cpu, uint64_t *mpidr);

/*
 * Sets the guest's virtual counter, and with KVM_CAP_COUNTER_OFFSET also the
 * physical one, to @ticks.  No vCPU runs. -errno, logged.
 */
int arm64_counter_set(struct machine *machine, uint64_t ticks);

/* The counter frequency of host and guest, in Hz. */
uint64_t arm64_counter_hz(void);

/* Initialises the PMUs, after the GIC; -errno, logged. */
int arm64_pmu_finish(struct machine *machine);

/* State of the GIC and the ITS; -errno, logged. */
struct snap_writer;
struct snap_reader;
int arm64_gic_save(struct machine *machine, struct snap_writer *w);
int arm64_gic_load(struct machine *machine, struct snap_reader *r);
int arm64_its_save(struct machine *machine, struct snap_writer *w);
int arm64_its_load(struct machine *machine, struct snap_reader *r);

/* Fills all pages that KVM's GIC and ITS access directly. */
int arm64_its_touch(const struct machine *machine);

/* Whether LPIs are enabled on vCPU @n, and the addresses of its LPI tables. */
int arm64_gic_lpis(const struct machine *machine, unsigned int n, bool *enabled,
		   uint64_t *propbaser, uint64_t *pendbaser);

#endif
