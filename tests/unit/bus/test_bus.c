/* SPDX-License-Identifier: BSD-2-Clause */
/* Address dispatch. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/base/bytes.h"
#include "vmm/bus/bus.h"

/* A device that remembers its last access. */
struct fake {
	uint64_t offset, value;
	unsigned int size, reads, writes;
};

static uint64_t fake_read(void *ctx, uint64_t offset, unsigned int size)
{
	struct fake *fake = ctx;

	fake->offset = offset;
	fake->size = size;
	fake->reads++;
	return UINT64_C(0x8877665544332211);
}

static void fake_write(void *ctx, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	struct fake *fake = ctx;

	fake->offset = offset;
	fake->size = size;
	fake->value = value;
	fake->writes++;
}

static const struct bus_ops fake_ops = { fake_read, fake_write };

static int add(struct bus *bus, uint64_t base, uint64_t size, void *ctx)
{
	const struct bus_range range = { base, size, &fake_ops, ctx, "fake" };

	return bus_add(bus, &range);
}

/* The device of the address gets the offset; sizes and order of bytes hold. */
static void dispatches(void **state)
{
	struct fake a = { 0 }, b = { 0 };
	struct bus bus;
	uint8_t data[8] = { 0 };

	(void)state;
	bus_init(&bus);
	assert_int_equal(add(&bus, 0x2000, 0x100, &b), 0);
	assert_int_equal(add(&bus, 0x1000, 0x1000, &a), 0);
	assert_true(bus_read(&bus, 0x1ffc, data, 4));
	assert_int_equal(a.offset, 0xffc);
	assert_int_equal(a.size, 4);
	assert_memory_equal(data, "\x11\x22\x33\x44\0\0\0\0", 8);
	assert_true(bus_write(&bus, 0x20ff, "\xab\xcd", 1));
	assert_int_equal(b.offset, 0xff);
	assert_int_equal(b.value, 0xab);
	assert_true(
		bus_write(&bus, 0x2000, "\x01\x02\x03\x04\x05\x06\x07\x08", 8));
	assert_true(b.value == UINT64_C(0x0807060504030201));
	bus_finish(&bus);
}

/* Addresses without a device read as ones; so does an access across the end. */
static void no_device_reads_as_ones(void **state)
{
	static const uint64_t bad[] = { 0,	0xfff,	    0x1100, 0x10fd,
					0x10ff, UINT64_MAX, 0xffd };
	struct fake a = { 0 };
	struct bus bus;

	(void)state;
	bus_init(&bus);
	add(&bus, 0x1000, 0x100, &a);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint8_t data[4] = { 0 };

		assert_false(bus_read(&bus, bad[i], data, 4));
		assert_memory_equal(data, "\xff\xff\xff\xff", 4);
		assert_false(bus_write(&bus, bad[i], data, 4));
	}
	assert_int_equal(a.reads + a.writes, 0);
	bus_finish(&bus);
}

/* Ranges do not overlap; a removed range can be reused. */
static void ranges_do_not_overlap(void **state)
{
	struct fake a = { 0 }, b = { 0 };
	struct bus bus;
	uint8_t data[1];

	(void)state;
	bus_init(&bus);
	assert_int_equal(add(&bus, 0x1000, 0x100, &a), 0);
	assert_int_equal(add(&bus, 0x1000, 0x100, &b), -EEXIST);
	assert_int_equal(add(&bus, 0x0fff, 2, &b), -EEXIST);
	assert_int_equal(add(&bus, 0x10ff, 2, &b), -EEXIST);
	assert_int_equal(add(&bus, 0, UINT64_MAX, &b), -EEXIST);
	assert_int_equal(add(&bus, 0x2000, 0, &b), -EINVAL);
	assert_int_equal(add(&bus, UINT64_MAX, 2, &b), -EINVAL);
	assert_int_equal(add(&bus, 0x0fff, 1, &b), 0);
	assert_int_equal(add(&bus, 0x1100, 1, &b), 0);
	bus_remove(&bus, 0x1000, &b); /* another's: stays */
	assert_true(bus_read(&bus, 0x1000, data, 1));
	bus_remove(&bus, 0x1000, &a);
	assert_false(bus_read(&bus, 0x1000, data, 1));
	assert_int_equal(add(&bus, 0x1000, 0x100, &b), 0);
	bus_finish(&bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dispatches),
		cmocka_unit_test(no_device_reads_as_ones),
		cmocka_unit_test(ranges_do_not_overlap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
