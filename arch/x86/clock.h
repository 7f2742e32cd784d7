/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The clocks of a stopped x86 guest: kvmclock, the TSC of each vCPU, and its
 * LAPIC timer.
 *
 * arch_clocks_stop() records them once all vCPUs are parked; a snapshot holds
 * the record; arch_clocks_start() sets them to it.  KVM cannot stop the clocks
 * in between.
 *
 * No vCPU runs; any one thread.  Errors are -errno, logged; -EBADMSG, not
 * logged, for malformed bytes of a snapshot.
 */
#ifndef ARCH_X86_CLOCK_H
#define ARCH_X86_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct kvm_vcpu;
struct machine;
struct snap_writer;
struct snap_reader;

/* Intel SDM volume 3, 11.5.4: current count of the LAPIC timer. */
#define LAPIC_TIMER_COUNT 0x390

/* TSC and timers of one vCPU. */
struct cpu_clock {
	uint32_t khz; /* TSC frequency; 0: not reported by KVM */
	bool has_offset; /* KVM has KVM_VCPU_TSC_CTRL */
	uint64_t offset; /* guest TSC minus host TSC */
	uint64_t wall_ns; /* CLOCK_REALTIME of the record */
	uint64_t tsc;
	uint64_t deadline; /* TSC ticks; 0: not armed */
	/* Remaining count of the one-shot or periodic LAPIC timer; 0: off. */
	uint32_t timer_count;
};

/* Owned by arch_private; one entry for each vCPU. */
struct clocks {
	uint64_t wall_ns; /* CLOCK_REALTIME of the record */
	uint64_t kvmclock_ns;
	struct cpu_clock cpus[];
};

/* Makes machine->arch->clocks; the caller frees it. */
int clocks_create(struct machine *machine);

/* The machine's section: wall time and kvmclock. */
void clocks_save(const struct clocks *clocks, struct snap_writer *w);
int clocks_load(struct clocks *clocks, struct snap_reader *r);

/*
 * A vCPU's section. tsc_load() only parses it. tsc_set_rate() sets the TSC
 * frequency, with a warning if KVM refuses; call it after the section was
 * checked. arch_clocks_start() sets the rest.
 */
void tsc_save(const struct cpu_clock *clock, struct snap_writer *w);
int tsc_load(struct cpu_clock *clock, struct snap_reader *r);
void tsc_set_rate(const struct cpu_clock *clock, const struct kvm_vcpu *cpu);

/* Records the TSC and its deadline timer. */
int tsc_stop(struct cpu_clock *clock, const struct kvm_vcpu *cpu);

/*
 * Sets the TSC of every vCPU to its record plus @gap_ns and preserves the
 * differences between them.  Not an error: a KVM that accepts the value but
 * keeps the host's TSC, as some without hardware support do.
 */
int tsc_start_all(const struct machine *machine, uint64_t gap_ns);

/* TSC ticks in @ns nanoseconds. */
uint64_t tsc_ticks(const struct cpu_clock *clock, uint64_t ns);

#endif
