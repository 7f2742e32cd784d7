/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvmclock, the timers of the LAPIC, and the order in which a guest's clocks are
 * recorded and set; see clock.h.
 *
 * Owns struct clocks.  No vCPU runs; any one thread.
 *
 * The TSCs are set first: KVM takes them for synchronised only when all have one
 * offset, and only then gives the vCPUs one kvmclock.  kvmclock is set by the
 * TSC of vCPU 0, so that the two keep the relation that they had: guests check
 * one by the other.  The timers are last, because KVM arms a host timer for each
 * by the clocks as they are at that moment.
 */
#include "arch/x86/clock.h"

#include <errno.h>
#include <stdlib.h>

#include "arch/x86/msr.h"
#include "arch/x86/x86.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/snap/section.h"

/*
 * How often kvmclock is read or set until it was done within so much of the
 * guest's TSC: a thread that is preempted in between is rare.
 */
#define PAIR_TRIES 8
#define PAIR_NS	   50000

/* How much faster than the host's clock the TSC may seem while clocks are set. */
#define PROGRESS_SLACK_NS 1000000

int clocks_create(struct machine *machine)
{
	machine->arch->clocks =
		calloc(1,
		       sizeof(struct clocks) +
			       machine->cpu_count * sizeof(struct cpu_clock));
	return machine->arch->clocks ? 0 : log_errno(ENOMEM, "clocks");
}

/* Saves what was recorded of kvmclock. */
void clocks_save(const struct clocks *clocks, struct snap_writer *w)
{
	snap_put_u64(w, clocks->wall_ns);
	snap_put_u64(w, clocks->kvmclock_ns);
}

int clocks_load(struct clocks *clocks, struct snap_reader *r)
{
	clocks->wall_ns = snap_get_u64(r);
	clocks->kvmclock_ns = snap_get_u64(r);
	return r->error ? -EBADMSG : 0;
}

/* Records the TSC of vCPU 0 and kvmclock as of one moment. */
static int stop_pair(const struct machine *machine)
{
	struct clocks *clocks = machine->arch->clocks;
	struct cpu_clock *first = &clocks->cpus[0];
	struct kvm_clock_data clock = { 0 };
	uint64_t after;
	int err = 0;

	for (unsigned int tries = 0; !err && tries < PAIR_TRIES; tries++) {
		err = tsc_stop(first, &machine->cpus[0]);
		if (!err && kvm_call(machine->vm.fd, KVM_GET_CLOCK, &clock) < 0)
			err = -EIO;
		if (err || msr_get(&machine->cpus[0], MSR_TSC, &after) < 0 ||
		    after - first->tsc <= tsc_ticks(first, PAIR_NS))
			break;
	}
	clocks->wall_ns = first->wall_ns;
	clocks->kvmclock_ns = clock.clock;
	return err;
}

/* Records what is left of a LAPIC's timer. */
static int stop_timer(struct cpu_clock *clock, const struct kvm_vcpu *cpu)
{
	struct kvm_lapic_state lapic;
	int err = kvm_call(cpu->fd, KVM_GET_LAPIC, &lapic);

	if (err < 0)
		return err;
	clock->timer_count = get_le32(lapic.regs + LAPIC_TIMER_COUNT);
	return 0;
}

int arch_clocks_stop(struct machine *machine)
{
	struct clocks *clocks = machine->arch->clocks;
	int err = stop_pair(machine);

	for (unsigned int i = 1; !err && i < machine->cpu_count; i++)
		err = tsc_stop(&clocks->cpus[i], &machine->cpus[i]);
	for (unsigned int i = 0; !err && i < machine->cpu_count; i++)
		err = stop_timer(&clocks->cpus[i], &machine->cpus[i]);
	return err;
}

/*
 * How far the TSC of vCPU 0 has gone since it was set to @start, in nanoseconds;
 * 0 for one that cannot be read or was not really set, which has gone on while
 * the guest was stopped: further than the time since @began_ns, when the clocks
 * began to be set.
 */
static uint64_t tsc_progress_ns(const struct machine *machine, uint64_t start,
				uint64_t began_ns)
{
	const struct cpu_clock *first = &machine->arch->clocks->cpus[0];
	uint64_t now, ticks, limit_ns;

	/* A rate of 0 is what a snapshot may say. */
	if (!first->khz || msr_get(&machine->cpus[0], MSR_TSC, &now) < 0 ||
	    now < start)
		return 0;
	ticks = now - start;
	limit_ns = clock_now_ns() - began_ns + PROGRESS_SLACK_NS;
	if (ticks > tsc_ticks(first, limit_ns))
		return 0;
	return ticks * 1000000 / first->khz;
}

/*
 * Sets kvmclock to what was recorded plus @gap_ns, and ahead by as much as the
 * TSC is by now.
 */
static int start_kvmclock(const struct machine *machine, uint64_t gap_ns,
			  uint64_t began_ns)
{
	const struct clocks *clocks = machine->arch->clocks;
	const struct cpu_clock *first = &clocks->cpus[0];
	uint64_t start = first->tsc + tsc_ticks(first, gap_ns), progress_ns;
	int err;

	for (unsigned int tries = 0;; tries++) {
		struct kvm_clock_data clock = { 0 };

		progress_ns = tsc_progress_ns(machine, start, began_ns);
		clock.clock = clocks->kvmclock_ns + gap_ns + progress_ns;
		err = kvm_call(machine->vm.fd, KVM_SET_CLOCK, &clock);
		if (err < 0)
			return err;
		if (tries == PAIR_TRIES ||
		    tsc_progress_ns(machine, start, began_ns) - progress_ns <
			    PAIR_NS)
			return 0;
	}
}

/*
 * Arms the timers for what was left of them.  One that has fired since is armed
 * again, which takes its interrupt back; one that had fired before, and whose
 * interrupt KVM may still hold, is left alone.
 */
static int start_timer(const struct cpu_clock *clock,
		       const struct kvm_vcpu *cpu)
{
	struct kvm_lapic_state lapic;
	int err;

	if (clock->deadline &&
	    msr_set(cpu, MSR_TSC_DEADLINE, clock->deadline) < 0)
		return log_fail(EOPNOTSUPP,
				"vCPU %u: KVM refuses to set the TSC deadline",
				cpu->id);
	if (!clock->timer_count)
		return 0;
	err = kvm_call(cpu->fd, KVM_GET_LAPIC, &lapic);
	if (err < 0)
		return err;
	put_le32(lapic.regs + LAPIC_TIMER_COUNT, clock->timer_count);
	err = kvm_call(cpu->fd, KVM_SET_LAPIC, &lapic);
	return err < 0 ? err : 0;
}

int arch_clocks_start(struct machine *machine, bool follow)
{
	const struct clocks *clocks = machine->arch->clocks;
	uint64_t gap_ns = follow ? clock_wall_since_ns(clocks->wall_ns) : 0;
	uint64_t began_ns = clock_now_ns();
	int err = tsc_start_all(machine, gap_ns);

	if (!err)
		err = start_kvmclock(machine, gap_ns, began_ns);
	for (unsigned int i = 0; !err && i < machine->cpu_count; i++)
		err = start_timer(&clocks->cpus[i], &machine->cpus[i]);
	return err;
}
