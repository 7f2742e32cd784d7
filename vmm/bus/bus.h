/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Address dispatch: which device answers at an address of the MMIO space or of
 * the port space.  A VM has one struct bus for each space.
 *
 * Lookups come from vCPU threads; ranges come and go before the run and when a
 * guest moves a PCI BAR.  A reader-writer lock guards the table and is not held
 * during a device's callback, so a callback may move its own range.
 */
#ifndef VMM_BUS_BUS_H
#define VMM_BUS_BUS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The callbacks of a range, on a vCPU thread.  @offset is from the start of the
 * range, @size 1, 2, 4 or 8 bytes, any alignment, never across the end of the
 * range.  A read returns the value, little-endian meaning; what the device does
 * not have reads as all ones.
 */
struct bus_ops {
	uint64_t (*read)(void *ctx, uint64_t offset, unsigned int size);
	void (*write)(void *ctx, uint64_t offset, unsigned int size,
		      uint64_t value);
};

struct bus_range {
	uint64_t base;
	uint64_t size;
	const struct bus_ops *ops;
	void *ctx;
	const char *name; /* for messages and `status`; not owned */
};

struct bus {
	pthread_rwlock_t lock;
	struct bus_range *ranges; /* sorted by base */
	unsigned int count, room;
};

int bus_init(struct bus *bus);
void bus_finish(struct bus *bus);

/* Adds a copy of @range; -EEXIST when it overlaps another.  Silent. */
int bus_add(struct bus *bus, const struct bus_range *range);

/* Removes the range that starts at @base and belongs to @ctx. */
void bus_remove(struct bus *bus, uint64_t base, const void *ctx);

/*
 * One access of @size bytes, 1 to 8, at @addr; @data holds or receives the
 * bytes.  No device there, or an access across the end of a range: reads give all
 * ones, writes have no effect; returns false, so that the caller can count it.
 */
bool bus_read(struct bus *bus, uint64_t addr, void *data, unsigned int size);
bool bus_write(struct bus *bus, uint64_t addr, const void *data,
	       unsigned int size);

#endif
