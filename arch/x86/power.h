/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The power device: eight ports with the sleep and reset registers that the
 * FADT of hardware-reduced ACPI names (ACPI 6.5, 4.8.3.7 and 4.8.3.6) and the
 * pending events of the generic event device; and the keyboard controller's
 * reset line, which some guests use.
 *
 * Any thread.
 */
#ifndef ARCH_X86_POWER_H
#define ARCH_X86_POWER_H

struct machine;

/* Offsets from X86_POWER_PORT. */
#define POWER_SLEEP_CONTROL 0 /* byte */
#define POWER_SLEEP_STATUS  1 /* byte */
#define POWER_RESET	    2 /* byte; POWER_RESET_VALUE resets */
#define POWER_EVENTS	    4 /* dword: pending events, cleared by reading */

#define POWER_RESET_VALUE 1
/* The sleep type of S5, soft off, in \_S5 and in the control register. */
#define POWER_S5 5

/* Sources of the event line; bits of the register. */
enum power_event {
	POWER_EVENT_BUTTON = 1,
	POWER_EVENT_GENERATION = 2,
};

/* Registers the ports; -errno, logged. */
int power_create(struct machine *machine);

/* Updates the event line after a change of arch->events. */
void power_event_update(struct machine *machine);

#endif
