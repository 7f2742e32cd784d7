/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The power device of an x86 machine.
 *
 * Its only state is the pending events, an atomic in struct arch_private, set
 * by control threads and cleared by vCPU threads (reads).  A thread sets the
 * line from the events and then reads the events again, so the last thread to
 * set the line uses their last value.  All accesses are sequentially
 * consistent.
 */
#include "arch/x86/power.h"

#include <errno.h>

#include "arch/x86/x86.h"
#include "vmm/base/log.h"

/* ACPI 6.5, 4.8.3.7: sleep control register. */
#define SLEEP_TYPE(v) ((v) >> 2 & 7)
#define SLEEP_ENABLE  0x20

#define KEYBOARD_PORT  0x64
#define KEYBOARD_RESET 0xfe

/* This device's level on the event line. */
#define EVENT_SOURCE 0

/* Sets the line to the state of the events. */
void power_event_update(struct machine *machine)
{
	bool pending;

	do {
		pending = atomic_load(&machine->arch->events) != 0;
		irq_line_set(&machine->irqs, X86_EVENT_GSI, EVENT_SOURCE,
			     pending);
	} while (pending != (atomic_load(&machine->arch->events) != 0));
}

int arch_notify(struct machine *machine, enum machine_notice notice)
{
	enum power_event event = notice == MACHINE_NOTICE_POWER_BUTTON ?
					 POWER_EVENT_BUTTON :
					 POWER_EVENT_GENERATION;

	atomic_fetch_or(&machine->arch->events, (unsigned int)event);
	power_event_update(machine);
	return 0;
}

static uint64_t power_read(void *ctx, uint64_t offset, unsigned int size)
{
	struct machine *machine = ctx;
	uint64_t events;

	(void)size;
	if (offset != POWER_EVENTS)
		return 0; /* not sleeping, never woken */
	events = atomic_exchange(&machine->arch->events, 0);
	power_event_update(machine);
	return events;
}

static void power_write(void *ctx, uint64_t offset, unsigned int size,
			uint64_t value)
{
	struct machine *machine = ctx;

	(void)size;
	if (offset == POWER_SLEEP_CONTROL && (value & SLEEP_ENABLE) &&
	    SLEEP_TYPE(value) == POWER_S5)
		machine->raise(machine, MACHINE_POWER_OFF);
	else if (offset == POWER_RESET && value == POWER_RESET_VALUE)
		machine->raise(machine, MACHINE_RESET);
}

/* Keyboard controller status: ready, no data. */
static uint64_t keyboard_read(void *ctx, uint64_t offset, unsigned int size)
{
	(void)ctx;
	(void)offset;
	(void)size;
	return 0;
}

/* The keyboard controller's command port. */
static void keyboard_write(void *ctx, uint64_t offset, unsigned int size,
			   uint64_t value)
{
	struct machine *machine = ctx;

	(void)offset;
	(void)size;
	if (value == KEYBOARD_RESET)
		machine->raise(machine, MACHINE_RESET);
}

static const struct bus_ops power_ops = { power_read, power_write };
static const struct bus_ops keyboard_ops = { keyboard_read, keyboard_write };

int power_create(struct machine *machine)
{
	const struct bus_range ranges[] = {
		{ X86_POWER_PORT, X86_POWER_PORTS, &power_ops, machine,
		  "power" },
		{ KEYBOARD_PORT, 1, &keyboard_ops, machine, "reset" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		int err = bus_add(&machine->pio, &ranges[i]);

		if (err)
			return log_errno(-err, "add ports of %s",
					 ranges[i].name);
	}
	return 0;
}
