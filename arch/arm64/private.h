/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of arch/arm64 share: the machine's own state, KVM devices and
 * registers by number.
 *
 * Threads: the machine's setting up is one thread; a vCPU's registers are
 * reached from its thread or while it does not run.
 */
#ifndef ARCH_ARM64_PRIVATE_H
#define ARCH_ARM64_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/arm64/uapi.h"
#include "vmm/arch.h"

struct arch_private {
	int gic_fd, its_fd; /* KVM devices; -1 before they are there */
	/* What every vCPU is initialised with, POWER_OFF apart. */
	struct kvm_vcpu_init init;
	bool has_counter_offset; /* KVM_CAP_COUNTER_OFFSET */
	/* The counter as it was recorded, by arch_clocks_stop() or a load. */
	struct {
		uint64_t ticks, wall_ns;
	} counter;
};

/* Whether the vCPUs were given feature KVM_ARM_VCPU_@bit. */
static inline bool arm64_has_feature(const struct arch_private *arch,
				     unsigned int bit)
{
	return (arch->init.features[bit / 32] >> (bit % 32) & 1) != 0;
}

/*
 * KVM devices (Documentation/virt/kvm/devices/): the descriptor of a new one,
 * or -errno; whether KVM supports the type.  Silent.
 */
int arm64_device_create(const struct kvm_vm *vm, uint32_t type);
bool arm64_device_test(const struct kvm_vm *vm, uint32_t type);

/* One register of up to 64 bits; silent: 0 or -errno. */
int arm64_reg_get(const struct kvm_vcpu *cpu, uint64_t id, uint64_t *value);
int arm64_reg_set(const struct kvm_vcpu *cpu, uint64_t id, uint64_t value);

/* MPIDR_EL1 of a vCPU; -errno, logged. */
int arm64_mpidr(const struct kvm_vcpu *cpu, uint64_t *mpidr);

/*
 * The guest's counter, virtual and, where KVM has an offset for it, physical, at
 * @ticks now.  No vCPU runs.  -errno, logged.
 */
int arm64_counter_set(struct machine *machine, uint64_t ticks);

/* Its frequency, which is the host's, in Hz. */
uint64_t arm64_counter_hz(void);

/* The PMUs' interrupt, after the GIC is initialised; -errno, logged. */
int arm64_pmu_finish(struct machine *machine);

/* State of the GIC and the ITS; -errno, logged. */
struct snap_writer;
struct snap_reader;
int arm64_gic_save(struct machine *machine, struct snap_writer *w);
int arm64_gic_load(struct machine *machine, struct snap_reader *r);
int arm64_its_save(struct machine *machine, struct snap_writer *w);
int arm64_its_load(struct machine *machine, struct snap_reader *r);

/* Makes present every page that KVM's GIC and ITS touch by themselves. */
int arm64_its_touch(const struct machine *machine);

/* Whether vCPU @n takes LPIs, and where its tables of them are. */
int arm64_gic_lpis(const struct machine *machine, unsigned int n, bool *enabled,
		   uint64_t *propbaser, uint64_t *pendbaser);

#endif
