/* SPDX-License-Identifier: BSD-2-Clause */
/* The PL031: it tells the time, names itself, and keeps what is written. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "vmm/bus/bus.h"
#include "vmm/dev/rtc.h"
#include "vmm/snap/section.h"

#define BASE 0x9010000

struct world {
	struct bus bus;
	struct device rtc;
};

static int set_up(void **state)
{
	static struct world w;

	memset(&w, 0, sizeof(w));
	assert_int_equal(bus_init(&w.bus), 0);
	assert_int_equal(rtc_create(&w.rtc, "rtc", &w.bus, BASE), 0);
	*state = &w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	w->rtc.ops->destroy(w->rtc.state);
	assert_false(bus_read(&w->bus, BASE, &(uint32_t){ 0 }, 4));
	bus_finish(&w->bus);
	return 0;
}

static uint32_t get(struct world *w, uint64_t offset)
{
	uint32_t value = 0;

	assert_true(bus_read(&w->bus, BASE + offset, &value, 4));
	return value;
}

static void put(struct world *w, uint64_t offset, uint32_t value)
{
	assert_true(bus_write(&w->bus, BASE + offset, &value, 4));
}

static void tells_the_time(void **state)
{
	struct world *w = *state;
	time_t before = time(NULL), after;
	uint32_t now = get(w, 0);

	after = time(NULL);
	assert_true(now >= (uint32_t)before && now <= (uint32_t)after);
	/* A guest cannot move it. */
	put(w, 0x008, 12345);
	assert_true(get(w, 0) >= now);
	assert_true(get(w, 0) <= (uint32_t)time(NULL));
	assert_int_equal(get(w, 0x008), 12345);
	assert_int_equal(get(w, 0x00c), 1);
}

/* The identification that a bus of PrimeCells looks for. */
static void names_itself(void **state)
{
	struct world *w = *state;
	static const uint8_t id[8] = { 0x31, 0x10, 0x04, 0x00,
				       0x0d, 0xf0, 0x05, 0xb1 };

	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(get(w, 0xfe0 + 4 * i), id[i]);
}

static void odd_accesses(void **state)
{
	struct world *w = *state;
	uint64_t wide = 0;
	uint16_t half = 0;
	uint8_t byte = 0;

	put(w, 0x004, 0xa1b2c3d4);
	assert_true(bus_read(&w->bus, BASE + 5, &byte, 1));
	assert_int_equal(byte, 0xc3);
	assert_true(bus_read(&w->bus, BASE + 6, &half, 2));
	assert_int_equal(half, 0xa1b2);
	assert_true(bus_read(&w->bus, BASE + 4, &wide, 8));
	assert_true(wide == 0xa1b2c3d4);
	/* Part of a register is not written. */
	assert_true(bus_write(&w->bus, BASE + 4, &byte, 1));
	assert_int_equal(get(w, 0x004), 0xa1b2c3d4);
	/* Nothing lives here. */
	assert_int_equal(get(w, 0x500), 0);
	assert_int_equal(get(w, 0x014), 0);
}

static void saves_and_loads(void **state)
{
	struct world *w = *state;
	struct snap_writer out = { 0 };
	struct snap_reader in;

	put(w, 0x004, 77);
	put(w, 0x008, 88);
	put(w, 0x010, 0xff);
	assert_int_equal(w->rtc.ops->quiesce(w->rtc.state), 0);
	assert_int_equal(w->rtc.ops->save(w->rtc.state, &out), 0);
	w->rtc.ops->resume(w->rtc.state);
	w->rtc.ops->reset(w->rtc.state);
	assert_int_equal(get(w, 0x004), 0);

	in = (struct snap_reader){ .data = out.data, .len = out.len };
	assert_int_equal(w->rtc.ops->load(w->rtc.state, &in), 0);
	assert_int_equal(get(w, 0x004), 77);
	assert_int_equal(get(w, 0x008), 88);
	assert_int_equal(get(w, 0x010), 1);

	for (size_t len = 0; len < out.len; len++) {
		in = (struct snap_reader){ .data = out.data, .len = len };
		assert_int_equal(w->rtc.ops->load(w->rtc.state, &in), -EBADMSG);
		assert_int_equal(get(w, 0x004), 0);
	}
	snap_writer_finish(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tells_the_time, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(names_itself, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(odd_accesses, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(saves_and_loads, set_up,
						tear_down),
	};

	return cmocka_run_group_tests_name("dev-rtc", tests, NULL, NULL);
}
