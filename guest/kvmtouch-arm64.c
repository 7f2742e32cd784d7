/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accesses by KVM on arm64: stolen time (Arm DEN 0057), and the tables of GICv3
 * (Arm IHI 0069), which the in-kernel ITS reads and writes when it executes
 * commands.
 */
#include "guest/kvmtouch.h"
#include "guest/lib/check.h"
#include "guest/lib/cpu.h"
#include "guest/lib/arm64/arm64.h"
#include "guest/lib/arm64/gic.h"

#define PV_TIME_FEATURES 0xc5000020
#define PV_TIME_ST	 0xc5000021

/* The VMM chooses the page. */
static void touch_stolen_time(struct fresh_pages *pages, const char *name)
{
	volatile uint32_t *stolen;
	int64_t where;

	(void)pages;
	if (hvc(PV_TIME_FEATURES, PV_TIME_ST, 0, 0).x0 != 0) {
		check_skip("%s: not offered by KVM", name);
		return;
	}
	where = (int64_t)hvc(PV_TIME_ST, 0, 0, 0).x0;
	if (where < 0) {
		check_skip("%s: no structure", name);
		return;
	}
	stolen = (volatile uint32_t *)(uintptr_t)where;
	check(stolen[0] == 0 && stolen[1] == 0, "%s: at 0x%lx, %lu ns", name,
	      (unsigned long)where,
	      (unsigned long)*(volatile uint64_t *)(uintptr_t)(where + 8));
}

/* Registers: redistributor 12.10, ITS 12.18. */
#define GICR_CTLR	 0x0000
#define GICR_PROPBASER	 0x0070
#define GICR_PENDBASER	 0x0078
#define ENABLE_LPIS	 1u
#define GITS_CTLR	 0x0000
#define GITS_CBASER	 0x0080
#define GITS_CWRITER	 0x0088
#define GITS_CREADR	 0x0090
#define GITS_BASER	 0x0100
#define BASER_COUNT	 8
#define BASER_TYPE_SHIFT 56
#define TYPE_DEVICE	 1
#define TYPE_COLLECTION	 4
#define VALID		 (UINT64_C(1) << 63)
#define BASER_64K	 (UINT64_C(2) << 8)
#define TABLE_BYTES	 0x10000
#define ID_BITS		 15 /* minus one */

#define LPI_FIRST     8192
#define PROPERTY_ON   0xa1 /* priority 0xa0, enabled */
#define COMMAND_BYTES 32

/* Commands (5.3). */
#define CMD_INT	  0x03
#define CMD_MAPD  0x08
#define CMD_MAPC  0x09
#define CMD_MAPTI 0x0a
#define CMD_INV	  0x0c

/* The tables, each in untouched pages. */
struct its {
	uint64_t base;
	uint64_t redistributor;
	struct fresh commands, devices, collections, items, properties, pending;
	unsigned int written; /* commands */
};

static bool take_tables(struct its *its, struct fresh_pages *pages)
{
	return fresh_take(pages, TABLE_BYTES, &its->commands) &&
	       fresh_take(pages, TABLE_BYTES, &its->devices) &&
	       fresh_take(pages, TABLE_BYTES, &its->collections) &&
	       fresh_take(pages, TABLE_BYTES, &its->items) &&
	       fresh_take(pages, TABLE_BYTES, &its->properties) &&
	       fresh_take(pages, TABLE_BYTES, &its->pending);
}

/* Enables the LPIs of this processor's redistributor. */
static void enable_lpis(const struct its *its)
{
	gic_enable();
	*reg64(its->redistributor + GICR_PROPBASER) =
		(uintptr_t)its->properties.bytes | ID_BITS;
	*reg64(its->redistributor + GICR_PENDBASER) =
		(uintptr_t)its->pending.bytes;
	*reg32(its->redistributor + GICR_CTLR) |= ENABLE_LPIS;
}

/* Sets up the ITS, with an empty command queue of 4 KiB. */
static void enable_its(const struct its *its)
{
	for (unsigned int i = 0; i < BASER_COUNT; i++) {
		volatile uint64_t *baser =
			reg64(its->base + GITS_BASER + 8 * i);
		unsigned int type = *baser >> BASER_TYPE_SHIFT & 7;

		if (type == TYPE_DEVICE)
			*baser = VALID | BASER_64K |
				 (uintptr_t)its->devices.bytes;
		else if (type == TYPE_COLLECTION)
			*baser = VALID | BASER_64K |
				 (uintptr_t)its->collections.bytes;
	}
	*reg64(its->base + GITS_CBASER) =
		VALID | (uintptr_t)its->commands.bytes;
	*reg64(its->base + GITS_CWRITER) = 0;
	*reg32(its->base + GITS_CTLR) = 1;
}

/* Adds one command and waits until the ITS has read it. */
static bool submit(struct its *its)
{
	uint64_t start = cpu_counter(), end;

	end = ++its->written * (uint64_t)COMMAND_BYTES;
	__asm__ volatile("dsb sy" ::: "memory");
	*reg64(its->base + GITS_CWRITER) = end;
	while (*reg64(its->base + GITS_CREADR) != end)
		if (cpu_counter() - start > 3 * sysreg_read("cntfrq_el0"))
			return false;
	return true;
}

/* Writes a command and submits it. */
static bool command(struct its *its, uint64_t w0, uint64_t w1, uint64_t w2)
{
	volatile uint64_t *to = reg64((uintptr_t)its->commands.bytes +
				      its->written * COMMAND_BYTES);

	to[0] = w0;
	to[1] = w1;
	to[2] = w2;
	to[3] = 0;
	return submit(its);
}

/* Maps device 0, event 0 to the first LPI, on this processor. */
static bool map_interrupt(struct its *its)
{
	return command(its, CMD_MAPD, 4, VALID | (uintptr_t)its->items.bytes) &&
	       command(its, CMD_MAPC, 0, VALID) &&
	       command(its, CMD_MAPTI, (uint64_t)LPI_FIRST << 32, 0);
}

/* Waits for the LPI; returns the pending interrupt id. */
static uint64_t acknowledge(void)
{
	uint64_t start = cpu_counter(), id = 0;

	while (cpu_counter() - start < sysreg_read("cntfrq_el0")) {
		id = gic_acknowledge();
		if (id == LPI_FIRST) {
			gic_end(id);
			break;
		}
	}
	return id;
}

static void touch_its(struct fresh_pages *pages, const char *name)
{
	struct its its = { .base = gic_places()->its,
			   .redistributor = gic_redistributor() };
	uint64_t id;

	if (!its.base || !its.redistributor) {
		check_skip("%s: no ITS", name);
		return;
	}
	if (pages->is_signed) {
		check_skip("%s: needs zero pages", name);
		return;
	}
	if (!take_tables(&its, pages))
		return;
	enable_lpis(&its);
	enable_its(&its);
	/* A zero command is invalid, but the ITS must read it. */
	check(submit(&its), "%s: read an untouched command queue", name);
	check(map_interrupt(&its), "%s: mapped an interrupt", name);
	/* Its properties are zero: disabled. */
	command(&its, CMD_INT, 0, 0);
	its.properties.bytes[0] = PROPERTY_ON;
	command(&its, CMD_INV, 0, 0);
	id = acknowledge();
	check(id == LPI_FIRST, "%s: interrupt %lu arrived", name, id);
	check(fresh_rest(&its.properties, 0, 1) &&
		      fresh_rest(&its.pending, 0, 0),
	      "%s: properties and pending bits unchanged", name);
}

const struct kvm_touch *kvm_touches(size_t *count)
{
	static const struct kvm_touch touches[] = {
		{ "stolen time", touch_stolen_time },
		{ "ITS tables", touch_its },
	};

	*count = sizeof(touches) / sizeof(touches[0]);
	return touches;
}
