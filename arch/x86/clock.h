/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The clocks of an x86 guest while it does not run: kvmclock, the TSC of each
 * vCPU, and the timers of its LAPIC.
 *
 * arch_clocks_stop() records them once all vCPUs are parked, a snapshot holds
 * what was recorded, and arch_clocks_start() sets them to that.  In between KVM
 * lets them go on, because it cannot stop them.
 *
 * No vCPU runs; any one thread.  Errors are -errno, logged; -EBADMSG, not
 * logged, when the bytes of a snapshot make no sense.
 */
#ifndef ARCH_X86_CLOCK_H
#define ARCH_X86_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct kvm_vcpu;
struct machine;
struct snap_writer;
struct snap_reader;

/* Intel SDM volume 3, 11.5.4: the current count of the LAPIC's timer. */
#define LAPIC_TIMER_COUNT 0x390

/* The TSC of a vCPU and its timers. */
struct cpu_clock {
	uint32_t khz; /* of the TSC; 0: KVM does not say */
	bool has_offset; /* KVM has KVM_VCPU_TSC_CTRL */
	uint64_t offset; /* of the TSC to the host's */
	uint64_t wall_ns; /* when it was recorded, CLOCK_REALTIME */
	uint64_t tsc;
	uint64_t deadline; /* in ticks of the TSC; 0: none is set */
	/* What is left of the LAPIC's one-shot or periodic timer; 0: it is off. */
	uint32_t timer_count;
};

/* What arch_private keeps; made for all vCPUs of the machine. */
struct clocks {
	uint64_t wall_ns; /* when they were recorded, CLOCK_REALTIME */
	uint64_t kvmclock_ns;
	struct cpu_clock cpus[];
};

/* Makes machine->arch->clocks; the caller frees it. */
int clocks_create(struct machine *machine);

/* The machine's section: the wall time and kvmclock. */
void clocks_save(const struct clocks *clocks, struct snap_writer *w);
int clocks_load(struct clocks *clocks, struct snap_reader *r);

/*
 * A vCPU's section.  tsc_load() only reads it.  tsc_set_rate() sets the rate of
 * the TSC, and warns where this host cannot: it is called when the section is
 * known to be sound.  The rest is set by arch_clocks_start().
 */
void tsc_save(const struct cpu_clock *clock, struct snap_writer *w);
int tsc_load(struct cpu_clock *clock, struct snap_reader *r);
void tsc_set_rate(const struct cpu_clock *clock, const struct kvm_vcpu *cpu);

/* Records the TSC and its deadline. */
int tsc_stop(struct cpu_clock *clock, const struct kvm_vcpu *cpu);

/*
 * Sets the TSCs of all vCPUs to what was recorded plus @gap_ns, at the distance
 * that they had to each other.  A KVM that accepts that and does not do it (some
 * software ones give guests the host's TSC) is no error.
 */
int tsc_start_all(const struct machine *machine, uint64_t gap_ns);

/* How much @clock's TSC counts in so many nanoseconds. */
uint64_t tsc_ticks(const struct cpu_clock *clock, uint64_t ns);

#endif
