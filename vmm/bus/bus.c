/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of address ranges: sorted, with a binary search.  A lookup copies
 * the range and releases the lock before the callback runs.
 */
#include "vmm/bus/bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

int bus_init(struct bus *bus)
{
	int r;

	*bus = (struct bus){ 0 };
	r = pthread_rwlock_init(&bus->lock, NULL);
	return r ? log_errno(r, "bus lock") : 0;
}

void bus_finish(struct bus *bus)
{
	free(bus->ranges);
	pthread_rwlock_destroy(&bus->lock);
	bus->ranges = NULL;
	bus->count = bus->room = 0;
}

/* The index of the first range that ends after @addr. */
static unsigned int first_after(const struct bus *bus, uint64_t addr)
{
	unsigned int low = 0, high = bus->count;

	while (low < high) {
		unsigned int mid = low + (high - low) / 2;
		const struct bus_range *range = &bus->ranges[mid];

		if (addr >= range->base && addr - range->base >= range->size)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Grows the table so that one more range fits; 0 or -ENOMEM. */
static int grow(struct bus *bus)
{
	unsigned int room = bus->room ? 2 * bus->room : 16;
	void *p;

	if (bus->count < bus->room)
		return 0;
	p = reallocarray(bus->ranges, room, sizeof(bus->ranges[0]));
	if (!p)
		return -ENOMEM;
	bus->ranges = p;
	bus->room = room;
	return 0;
}

/* bus_add() with the lock held for writing. */
static int add_locked(struct bus *bus, const struct bus_range *range)
{
	unsigned int at = first_after(bus, range->base);
	int r;

	if (at < bus->count &&
	    (bus->ranges[at].base <= range->base ||
	     bus->ranges[at].base - range->base < range->size))
		return -EEXIST;
	r = grow(bus);
	if (r < 0)
		return r;
	memmove(&bus->ranges[at + 1], &bus->ranges[at],
		(bus->count - at) * sizeof(*range));
	bus->ranges[at] = *range;
	bus->count++;
	return 0;
}

int bus_add(struct bus *bus, const struct bus_range *range)
{
	int r;

	if (!range->size || range->base + range->size - 1 < range->base)
		return -EINVAL;
	pthread_rwlock_wrlock(&bus->lock);
	r = add_locked(bus, range);
	pthread_rwlock_unlock(&bus->lock);
	return r;
}

void bus_remove(struct bus *bus, uint64_t base, const void *ctx)
{
	unsigned int at;

	pthread_rwlock_wrlock(&bus->lock);
	at = first_after(bus, base);
	if (at < bus->count && bus->ranges[at].base == base &&
	    bus->ranges[at].ctx == ctx) {
		memmove(&bus->ranges[at], &bus->ranges[at + 1],
			(bus->count - at - 1) * sizeof(bus->ranges[0]));
		bus->count--;
	}
	pthread_rwlock_unlock(&bus->lock);
}

/* Copies the range that holds the whole access; false when none does. */
static bool find(struct bus *bus, uint64_t addr, unsigned int size,
		 struct bus_range *range)
{
	bool found = false;
	unsigned int at;

	pthread_rwlock_rdlock(&bus->lock);
	at = first_after(bus, addr);
	if (at < bus->count && addr >= bus->ranges[at].base &&
	    range_within(addr - bus->ranges[at].base, size,
			 bus->ranges[at].size)) {
		*range = bus->ranges[at];
		found = true;
	}
	pthread_rwlock_unlock(&bus->lock);
	return found;
}

bool bus_read(struct bus *bus, uint64_t addr, void *data, unsigned int size)
{
	struct bus_range range;

	if (!find(bus, addr, size, &range)) {
		memset(data, 0xff, size);
		return false;
	}
	put_le(data, range.ops->read(range.ctx, addr - range.base, size), size);
	return true;
}

bool bus_write(struct bus *bus, uint64_t addr, const void *data,
	       unsigned int size)
{
	struct bus_range range;

	if (!find(bus, addr, size, &range))
		return false;
	range.ops->write(range.ctx, addr - range.base, size,
			 get_le(data, size));
	return true;
}
