/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TSC and TSC deadline timer of each vCPU; see clock.h.
 *
 * No vCPU runs; any one thread.
 *
 * vCPU 0 is set by offset: KVM takes a written value close to the expected one
 * for an attempt to synchronise, and ignores it.  The others get their saved
 * offset relative to vCPU 0, because two values cannot be written at the same
 * instant.
 */
#include <errno.h>

#include "arch/x86/clock.h"
#include "arch/x86/msr.h"
#include "arch/x86/x86.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/snap/section.h"

/* Attempts to set the TSC to within the tolerance. */
#define TSC_TRIES 4
#define NEAR_NS	  10000000

/* The TSC offset; silent. -errno if KVM lacks the attribute. */
static int tsc_offset_get(const struct kvm_vcpu *cpu, uint64_t *offset)
{
	return kvm_attr_get(cpu->fd, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET,
			    offset);
}

static int tsc_offset_set(const struct kvm_vcpu *cpu, uint64_t offset)
{
	return kvm_attr_set(cpu->fd, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET,
			    &offset);
}

/* Records frequency, offset, value with its wall time, and deadline. */
int tsc_stop(struct cpu_clock *clock, const struct kvm_vcpu *cpu)
{
	int khz = kvm_ioctl(cpu->fd, KVM_GET_TSC_KHZ, NULL);

	clock->khz = khz > 0 ? (uint32_t)khz : 0;
	clock->deadline = 0;
	msr_get(cpu, MSR_TSC_DEADLINE, &clock->deadline);
	clock->has_offset = tsc_offset_get(cpu, &clock->offset) == 0;
	clock->wall_ns = clock_wall_ns();
	if (msr_get(cpu, MSR_TSC, &clock->tsc) < 0)
		return log_fail(EOPNOTSUPP,
				"vCPU %u: KVM refuses to read the TSC",
				cpu->id);
	return 0;
}

void tsc_save(const struct cpu_clock *clock, struct snap_writer *w)
{
	snap_put_u32(w, clock->khz);
	snap_put_u8(w, clock->has_offset);
	snap_put_u64(w, clock->offset);
	snap_put_u64(w, clock->wall_ns);
	snap_put_u64(w, clock->tsc);
	snap_put_u64(w, clock->deadline);
}

void tsc_set_rate(const struct cpu_clock *clock, const struct kvm_vcpu *cpu)
{
	int khz = kvm_ioctl(cpu->fd, KVM_GET_TSC_KHZ, NULL);

	if (!clock->khz || khz == (int)clock->khz)
		return;
	if (kvm_ioctl(cpu->fd, KVM_SET_TSC_KHZ, (void *)(uintptr_t)clock->khz) <
		    0 &&
	    cpu->id == 0)
		log_warn("TSC frequency changes from %u kHz to %d kHz: time "
			 "that the guest measures with it will be wrong",
			 clock->khz, khz);
}

int tsc_load(struct cpu_clock *clock, struct snap_reader *r)
{
	clock->khz = snap_get_u32(r);
	clock->has_offset = snap_get_u8(r) != 0;
	clock->offset = snap_get_u64(r);
	clock->wall_ns = snap_get_u64(r);
	clock->tsc = snap_get_u64(r);
	clock->deadline = snap_get_u64(r);
	return r->error ? -EBADMSG : 0;
}

uint64_t tsc_ticks(const struct cpu_clock *clock, uint64_t ns)
{
	return (uint64_t)((unsigned __int128)ns * clock->khz / 1000000);
}

/* Whether a TSC value is within ten milliseconds of the expected value. */
static bool tsc_is_near(const struct cpu_clock *clock, uint64_t want,
			uint64_t now)
{
	uint64_t limit = tsc_ticks(clock, NEAR_NS), off = want - now;

	return off < limit || -off < limit;
}

/*
 * Sets vCPU 0, or any vCPU of a KVM without offsets, by value.  *@offset: the
 * resulting offset.
 */
static int start_value(const struct kvm_vcpu *cpu,
		       const struct cpu_clock *clock, uint64_t gap_ns,
		       uint64_t *offset)
{
	uint64_t want = clock->tsc + tsc_ticks(clock, gap_ns), now;

	/* Read again: some kernels report a wrong offset for a new vCPU. */
	for (unsigned int tries = 0; tries < TSC_TRIES; tries++) {
		if (tsc_offset_get(cpu, offset) < 0 ||
		    msr_get(cpu, MSR_TSC, &now) < 0)
			return msr_set(cpu, MSR_TSC, want);
		if (tries && tsc_is_near(clock, want, now))
			return 0;
		*offset += want - now;
		if (tsc_offset_set(cpu, *offset) < 0)
			return msr_set(cpu, MSR_TSC, want);
	}
	return 0;
}

int tsc_start_all(const struct machine *machine, uint64_t gap_ns)
{
	const struct cpu_clock *clocks = machine->arch->clocks->cpus;
	uint64_t base = 0, offset;
	int err = 0;

	for (unsigned int i = 0; !err && i < machine->cpu_count; i++) {
		const struct kvm_vcpu *cpu = &machine->cpus[i];

		offset = base + (clocks[i].offset - clocks[0].offset);
		if (i == 0)
			err = start_value(cpu, &clocks[0], gap_ns, &base);
		else if (!clocks[i].has_offset ||
			 tsc_offset_set(cpu, offset) < 0)
			err = start_value(cpu, &clocks[i], gap_ns, &offset);
		if (err)
			log_fail(EOPNOTSUPP,
				 "vCPU %u: KVM refuses to set the TSC",
				 cpu->id);
	}
	return err;
}
