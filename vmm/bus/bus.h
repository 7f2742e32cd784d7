/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Address dispatch: which device answers at an address of the MMIO space or of
 * the port space.  A VM has one struct bus for each space.
 *
 * Lookups come from vCPU threads; ranges are added and removed before the run
 * and when a guest moves a PCI BAR.  A reader-writer lock guards the table and
 * is not held during a device's callback, so a callback may move its own range.
 */
#ifndef VMM_BUS_BUS_H
#define VMM_BUS_BUS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The callbacks of a range, on a vCPU thread.  @offset is from the start of the
 * range, @size 1, 2, 4 or 8 bytes, any alignment, never across the end of the
 * range.  Values are little-endian on the bus: the byte at @offset is the
 * lowest.
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
	unsigned int count, room; /* ranges used, allocated */
};

/* Makes an empty bus; 0, or -errno, which is logged. */
int bus_init(struct bus *bus);

/* Frees the table; devices are not called. */
void bus_finish(struct bus *bus);

/*
 * Adds a copy of @range.  -EEXIST when it overlaps another, -EINVAL when it is
 * empty or wraps, -ENOMEM.  Silent.
 */
int bus_add(struct bus *bus, const struct bus_range *range);

/* Removes the range that starts at @base and belongs to @ctx, if any. */
void bus_remove(struct bus *bus, uint64_t base, const void *ctx);

/*
 * One access of @size bytes, 1 to 8, at @addr; @data holds or receives the
 * bytes.  False if no range contains the whole access: a read gives all ones, a
 * write has no effect.
 */
bool bus_read(struct bus *bus, uint64_t addr, void *data, unsigned int size);
bool bus_write(struct bus *bus, uint64_t addr, const void *data,
	       unsigned int size);

#endif
