/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvmclock, the LAPIC timers, and the order in which the clocks of a guest are
 * recorded and set; see clock.h.
 *
 * Owns struct clocks.  No vCPU runs; any one thread.
 *
 * TSCs first: KVM treats them as synchronised only if all have one offset, and
 * only then shares one kvmclock.  Then kvmclock, from the TSC of vCPU 0, so
 * that the relation between the two is kept: guests compare them.  Timers last,
 * because KVM arms a host timer for each from the current clocks.
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
 * Attempts to read or set kvmclock within the given number of TSC ticks.  A
 * preemption in between is rare.
 */
#define PAIR_TRIES 8
#define PAIR_NS	   50000

/* Maximum apparent gain of the TSC over the host clock while clocks are set. */
#define PROGRESS_SLACK_NS 1000000

int clocks_create(struct machine *machine)
{
	machine->arch->clocks =
		calloc(1,
		       sizeof(struct clocks) +
			       machine->cpu_count * sizeof(struct cpu_clock));
	return machine->arch->clocks ? 0 : log_errno(ENOMEM, "clocks");
}

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

/* Records the TSC of vCPU 0 and kvmclock at the same instant. */
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

/* Records the remaining count of a LAPIC timer. */
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
 * Nanoseconds since the TSC of vCPU 0 was set to @start.  0 if it cannot be
 * read, or if it was not set: then it counted while the guest was stopped, more
 * than the time since @began_ns, when setting the clocks began.
 */
static uint64_t tsc_progress_ns(const struct machine *machine, uint64_t start,
				uint64_t began_ns)
{
	const struct cpu_clock *first = &machine->arch->clocks->cpus[0];
	uint64_t now, ticks, limit_ns;

	/* A snapshot may have a rate of 0. */
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
 * Sets kvmclock to its record plus @gap_ns, plus the current advance of the
 * TSC.
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
 * Arms the timers with the remaining time.  A timer that fired since the record
 * is armed again and its interrupt withdrawn.  One that had fired before is
 * left alone: KVM may still hold its interrupt.
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
