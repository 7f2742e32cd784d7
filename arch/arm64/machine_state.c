/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's part of a snapshot: the counter, the GIC, the ITS.
 *
 * vCPUs do not run; any one thread.
 */
#include <errno.h>

#include "arch/arm64/private.h"
#include "vmm/base/log.h"
#include "vmm/snap/section.h"

#define STATE_VERSION 1

static void counter_save(const struct machine *machine, struct snap_writer *w)
{
	snap_put_u64(w, machine->arch->counter.wall_ns);
	snap_put_u64(w, machine->arch->counter.ticks);
	snap_put_u64(w, arm64_counter_hz());
}

/* Loads the record for arch_clocks_start(). */
static int counter_load(struct machine *machine, struct snap_reader *r)
{
	uint64_t hz;

	machine->arch->counter.wall_ns = snap_get_u64(r);
	machine->arch->counter.ticks = snap_get_u64(r);
	hz = snap_get_u64(r);
	if (r->error != 0)
		return r->error;
	if (hz != arm64_counter_hz())
		return log_fail(ENOTSUP,
				"snapshot needs a counter frequency of %llu "
				"Hz; this host has %llu Hz",
				(unsigned long long)hz,
				(unsigned long long)arm64_counter_hz());
	return 0;
}

int arch_machine_save(struct machine *machine, struct snap_writer *w)
{
	int err;

	snap_put_u32(w, STATE_VERSION);
	snap_put_u32(w, machine->cpu_count);
	counter_save(machine, w);
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
