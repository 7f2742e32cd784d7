/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The TSC of a vCPU in a snapshot, and the deadline that is counted in it.
 *
 * Owns nothing.  The vCPU does not run; any one thread, vCPU 0 first.
 *
 * vCPU 0 is given the value that it had and the ticks of the time that has
 * passed since.  It is given it as an offset, because KVM takes a value that is
 * near to what it expects for an attempt to synchronise, and ignores it.  The
 * others get the distance to vCPU 0 that they had: two values are never written
 * at one instant.
 */
#include <errno.h>

#include "arch/x86/msr.h"
#include "arch/x86/state.h"
#include "arch/x86/x86.h"
#include "vmm/base/log.h"
#include "vmm/snap/section.h"

/* How often the TSC is set until it is what it should be. */
#define TSC_TRIES 4

/* Reads or writes the TSC offset; -errno where KVM does not know it; silent. */
static int tsc_offset(const struct kvm_vcpu *cpu, unsigned long request,
		      uint64_t *offset)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)offset,
	};
	int err = kvm_ioctl(cpu->fd, request, &attr);

	return err < 0 ? err : 0;
}

/* Saves rate, offset, value and the wall time of the value, and deadline. */
int tsc_save(const struct kvm_vcpu *cpu, struct snap_writer *w)
{
	int khz = kvm_ioctl(cpu->fd, KVM_GET_TSC_KHZ, NULL);
	uint64_t offset = 0, tsc = 0, deadline = 0, wall_ns;
	bool has_offset = tsc_offset(cpu, KVM_GET_DEVICE_ATTR, &offset) == 0;

	wall_ns = state_wall_ns();
	if (msr_get(cpu, MSR_TSC, &tsc) < 0)
		return log_fail(EOPNOTSUPP,
				"vCPU %u: KVM does not tell its TSC", cpu->id);
	msr_get(cpu, MSR_TSC_DEADLINE, &deadline);
	snap_put_u32(w, khz > 0 ? (uint32_t)khz : 0);
	snap_put_u8(w, has_offset);
	snap_put_u64(w, offset);
	snap_put_u64(w, wall_ns);
	snap_put_u64(w, tsc);
	snap_put_u64(w, deadline);
	return 0;
}

/* What save_tsc() saved but the deadline. */
struct tsc_state {
	uint32_t khz;
	bool has_offset;
	uint64_t offset, wall_ns, value;
};

/* Has the guest's TSC tick as it did; a host that cannot is told of. */
static void load_tsc_rate(const struct kvm_vcpu *cpu,
			  const struct tsc_state *tsc)
{
	int khz = kvm_ioctl(cpu->fd, KVM_GET_TSC_KHZ, NULL);

	if (!tsc->khz || khz == (int)tsc->khz)
		return;
	if (kvm_ioctl(cpu->fd, KVM_SET_TSC_KHZ, (void *)(uintptr_t)tsc->khz) <
		    0 &&
	    cpu->id == 0)
		log_warn("the guest's TSC ran at %u kHz, here at %d kHz; "
			 "a guest that counts by it will be off",
			 tsc->khz, khz);
}

/* The value that the TSC has by now. */
static uint64_t tsc_now(const struct tsc_state *tsc)
{
	return tsc->value +
	       (uint64_t)((unsigned __int128)state_elapsed_ns(tsc->wall_ns) *
			  tsc->khz / 1000000);
}

/* Whether a value of the TSC is within ten milliseconds of what it should be. */
static bool tsc_is_near(const struct tsc_state *tsc, uint64_t now)
{
	uint64_t limit = (uint64_t)tsc->khz * 10, off = tsc_now(tsc) - now;

	return off < limit || -off < limit;
}

/* vCPU 0, or a KVM without offsets: by value. */
static int load_tsc_value(struct arch_private *arch, const struct kvm_vcpu *cpu,
			  const struct tsc_state *tsc)
{
	uint64_t offset, now;

	/*
	 * Looked at again afterwards: on some kernels the offset that a new
	 * vCPU tells is not the one that its TSC has.
	 */
	for (unsigned int tries = 0; tries < TSC_TRIES; tries++) {
		if (tsc_offset(cpu, KVM_GET_DEVICE_ATTR, &offset) < 0 ||
		    msr_get(cpu, MSR_TSC, &now) < 0)
			return msr_set(cpu, MSR_TSC, tsc_now(tsc));
		if (tries && tsc_is_near(tsc, now))
			break;
		offset += tsc_now(tsc) - now;
		if (tsc_offset(cpu, KVM_SET_DEVICE_ATTR, &offset) < 0)
			return msr_set(cpu, MSR_TSC, tsc_now(tsc));
	}
	arch->tsc_offset_saved = tsc->offset;
	arch->tsc_offset_loaded = offset;
	return 0;
}

/* Any other vCPU: as far from vCPU 0 as it was. */
static int load_tsc_distance(const struct arch_private *arch,
			     const struct kvm_vcpu *cpu,
			     const struct tsc_state *tsc)
{
	uint64_t offset = arch->tsc_offset_loaded +
			  (tsc->offset - arch->tsc_offset_saved);

	return tsc_offset(cpu, KVM_SET_DEVICE_ATTR, &offset);
}

/* Loads the TSC, then the deadline. */
int tsc_load(struct machine *machine, const struct kvm_vcpu *cpu,
	     struct snap_reader *r)
{
	struct tsc_state tsc = {
		.khz = snap_get_u32(r),
		.has_offset = snap_get_u8(r) != 0,
	};
	uint64_t deadline;
	int err;

	tsc.offset = snap_get_u64(r);
	tsc.wall_ns = snap_get_u64(r);
	tsc.value = snap_get_u64(r);
	deadline = snap_get_u64(r);
	if (r->error)
		return -EBADMSG;
	load_tsc_rate(cpu, &tsc);
	err = cpu->id == 0 || !tsc.has_offset ||
			      load_tsc_distance(machine->arch, cpu, &tsc) < 0 ?
		      load_tsc_value(machine->arch, cpu, &tsc) :
		      0;
	if (err)
		return log_fail(EOPNOTSUPP, "vCPU %u: KVM does not set its TSC",
				cpu->id);
	if (deadline && msr_set(cpu, MSR_TSC_DEADLINE, deadline) < 0)
		return log_fail(EOPNOTSUPP,
				"vCPU %u: KVM does not set its TSC deadline",
				cpu->id);
	return 0;
}
