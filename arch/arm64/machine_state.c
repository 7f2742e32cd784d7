/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's part of a snapshot: the counter, the GIC, the ITS.  The counter
 * comes first and is set once, for all vCPUs; it goes on as if the guest had
 * run all the while, so that its wall clock is right.
 *
 * vCPUs do not run; any one thread.
 */
#include <errno.h>
#include <time.h>

#include "arch/arm64/private.h"
#include "vmm/base/log.h"
#include "vmm/snap/section.h"

#define STATE_VERSION 1
#define NS_PER_S      UINT64_C(1000000000)

/* The counter's frequency, which user space may read (Arm DDI 0487, D11.1). */
static uint64_t counter_hz(void)
{
	uint64_t hz;

	__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(hz));
	return hz;
}

/* The wall clock in ns. */
static uint64_t wall_ns(void)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static int counter_save(const struct machine *machine, struct snap_writer *w)
{
	uint64_t ticks;
	int err =
		arm64_reg_get(&machine->cpus[0], KVM_REG_ARM_TIMER_CNT, &ticks);

	if (err != 0)
		return log_errno(-err, "read the guest's counter");
	snap_put_u64(w, wall_ns());
	snap_put_u64(w, ticks);
	snap_put_u64(w, counter_hz());
	return 0;
}

/* Sets the counter to what it was plus the time that went by since. */
static int counter_load(struct machine *machine, struct snap_reader *r)
{
	uint64_t then = snap_get_u64(r);
	uint64_t ticks = snap_get_u64(r);
	uint64_t hz = snap_get_u64(r);
	uint64_t now = wall_ns();

	if (r->error != 0)
		return r->error;
	if (hz != counter_hz())
		return log_fail(ENOTSUP,
				"the snapshot's counter runs at %llu Hz, this "
				"host's at %llu Hz",
				(unsigned long long)hz,
				(unsigned long long)counter_hz());
	if (now > then)
		ticks += (uint64_t)((unsigned __int128)(now - then) * hz /
				    NS_PER_S);
	return arm64_counter_set(machine, ticks);
}

int arch_machine_save(struct machine *machine, struct snap_writer *w)
{
	int err;

	snap_put_u32(w, STATE_VERSION);
	snap_put_u32(w, machine->cpu_count);
	err = counter_save(machine, w);
	if (err == 0)
		err = arm64_its_touch(machine);
	if (err == 0)
		err = arm64_gic_save(machine, w);
	if (err == 0)
		err = arm64_its_save(machine, w);
	return err;
}

int arch_machine_load(struct machine *machine, struct snap_reader *r)
{
	uint32_t version = snap_get_u32(r);
	uint32_t cpus = snap_get_u32(r);
	int err;

	if (r->error == 0 &&
	    (version != STATE_VERSION || cpus != machine->cpu_count))
		snap_reader_fail(r);
	err = r->error;
	if (err == 0)
		err = counter_load(machine, r);
	if (err == 0)
		err = arm64_gic_load(machine, r);
	if (err == 0)
		err = arm64_its_load(machine, r);
	return err;
}
