/* SPDX-License-Identifier: BSD-2-Clause */
/* The PL031: time, identification, registers, alarm, and saved state. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "vmm/bus/bus.h"
#include "vmm/bus/irq.h"
#include "vmm/bus/loop.h"
#include "vmm/dev/rtc.h"
#include "vmm/snap/section.h"

#define BASE 0x9010000
#define GSI  2

/* Time limit for an expected event. */
#define PATIENCE_S 30

enum {
	DR = 0x000,
	MR = 0x004,
	LR = 0x008,
	CR = 0x00c,
	IMSC = 0x010,
	RIS = 0x014,
	MIS = 0x018,
	ICR = 0x01c,
};

static const struct irq_map map = { .line_count = 24, .msi_first = 24 };

struct world {
	struct bus bus;
	struct irqs irqs;
	struct loop *loop;
	struct device rtc;
};

static int set_up(void **state)
{
	static struct world w;
	struct rtc_config config = {
		.bus = &w.bus, .base = BASE, .irqs = &w.irqs, .gsi = GSI
	};

	memset(&w, 0, sizeof(w));
	assert_int_equal(bus_init(&w.bus), 0);
	assert_int_equal(irqs_init(&w.irqs, NULL, &map), 0);
	assert_int_equal(loop_create(&w.loop), 0);
	config.loop = w.loop;
	assert_int_equal(rtc_create(&w.rtc, "rtc", &config), 0);
	assert_int_equal(loop_start(w.loop), 0);
	*state = &w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	loop_stop(w->loop);
	w->rtc.ops->destroy(w->rtc.state);
	assert_false(bus_read(&w->bus, BASE, &(uint32_t){ 0 }, 4));
	loop_destroy(w->loop);
	irqs_finish(&w->irqs);
	bus_finish(&w->bus);
	return 0;
}

/* Whether the interrupt line is up. */
static bool line_up(struct world *w)
{
	bool up;

	pthread_mutex_lock(&w->irqs.lock);
	up = w->irqs.line_sources[GSI];
	pthread_mutex_unlock(&w->irqs.lock);
	return up;
}

/* Waits until it is. */
static void wait_for_line(struct world *w)
{
	const struct timespec pause = { 0, 1000000 };
	time_t end = time(NULL) + PATIENCE_S;

	while (!line_up(w)) {
		assert_true(time(NULL) < end);
		nanosleep(&pause, NULL);
	}
}

/* The wall clock; time(2) may be a tick behind it. */
static uint32_t host_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint32_t)now.tv_sec;
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

/* Sets an alarm for the near future, unless one is raised already. */
static void set_alarm(struct world *w)
{
	do
		put(w, MR, get(w, DR) + 1);
	while (get(w, DR) > get(w, MR));
}

static void tells_the_time(void **state)
{
	struct world *w = *state;
	uint32_t before = host_seconds(), now = get(w, DR);

	assert_true(now >= before && now <= host_seconds());
	/* A guest cannot move it. */
	put(w, LR, 12345);
	assert_true(get(w, DR) >= now);
	assert_true(get(w, DR) <= host_seconds());
	assert_int_equal(get(w, LR), 12345);
	assert_int_equal(get(w, CR), 1);
}

/* The identification that the AMBA bus of Linux reads. */
static void names_itself(void **state)
{
	struct world *w = *state;
	static const uint8_t id[8] = { 0x31, 0x10, 0x14, 0x00,
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
	/* No register here. */
	assert_int_equal(get(w, 0x500), 0);
	assert_int_equal(get(w, 0x014), 0);
}

/* The alarm: the guest sleeps, and the loop's timer raises the line. */
static void alarm_interrupts(void **state)
{
	struct world *w = *state;

	set_alarm(w);
	put(w, IMSC, 1);
	wait_for_line(w);
	assert_int_equal(get(w, RIS), 1);
	assert_int_equal(get(w, MIS), 1);
	assert_true(get(w, DR) >= get(w, MR));
	/* It stays up until it is cleared, and that is all that clears it. */
	put(w, ICR, 0);
	assert_true(line_up(w));
	put(w, ICR, 1);
	assert_false(line_up(w));
	assert_int_equal(get(w, RIS), 0);
	assert_int_equal(get(w, MIS), 0);
	/* The next one. */
	set_alarm(w);
	wait_for_line(w);
	assert_int_equal(w->irqs.raised, 2);
	w->rtc.ops->reset(w->rtc.state);
	assert_false(line_up(w));
	assert_int_equal(get(w, RIS), 0);
}

/* A masked alarm is seen in the raw status alone, until it is unmasked. */
static void mask_holds_it_back(void **state)
{
	struct world *w = *state;

	/* A second may end between the two accesses. */
	for (int i = 0; i < 10 && !get(w, RIS); i++)
		put(w, MR, get(w, DR));
	assert_int_equal(get(w, RIS), 1);
	assert_int_equal(get(w, MIS), 0);
	assert_false(line_up(w));
	put(w, IMSC, 1);
	assert_int_equal(get(w, MIS), 1);
	assert_true(line_up(w));
	put(w, IMSC, 0);
	assert_false(line_up(w));
	assert_int_equal(get(w, RIS), 1);
}

/* A match in the past is 136 years away. */
static void past_does_not_come(void **state)
{
	struct world *w = *state;

	put(w, IMSC, 1);
	put(w, MR, get(w, DR) - 1);
	assert_int_equal(get(w, RIS), 0);
	assert_false(line_up(w));
}

/* Reads a state of these words, as a section of @version. */
static int load(struct world *w, uint32_t version, const uint32_t *words,
		size_t count)
{
	struct snap_writer out = { 0 };
	struct snap_reader in;
	int r;

	for (size_t i = 0; i < count; i++)
		snap_put_u32(&out, words[i]);
	in = (struct snap_reader){ .data = out.data,
				   .len = out.len,
				   .version = version };
	assert_int_equal(w->rtc.ops->quiesce(w->rtc.state, INT64_MAX), 0);
	r = w->rtc.ops->load(w->rtc.state, &in);
	snap_writer_finish(&out);
	return r;
}

/* An alarm that passed while the guest was saved is raised at resume. */
static void missed_alarm_comes_late(void **state)
{
	struct world *w = *state;
	uint32_t now = get(w, DR);
	/* Saved at 1000 s ago for 500 s ago, and for 500 s before it. */
	const uint32_t ahead[] = { now - 500, 0, 1, 0, now - 1000 };
	const uint32_t behind[] = { now - 1500, 0, 1, 0, now - 1000 };

	assert_int_equal(load(w, 2, ahead, 5), 0);
	assert_false(line_up(w));
	w->rtc.ops->resume(w->rtc.state);
	assert_true(line_up(w));
	assert_int_equal(get(w, RIS), 1);
	put(w, ICR, 1);
	assert_int_equal(load(w, 2, behind, 5), 0);
	w->rtc.ops->resume(w->rtc.state);
	assert_false(line_up(w));
}

/* While stopped, the line does not change. */
static void stopped_is_silent(void **state)
{
	struct world *w = *state;
	const struct timespec pause = { 0, 1000000 };
	uint32_t at = get(w, DR) + 1;

	put(w, MR, at);
	put(w, IMSC, 1);
	assert_int_equal(w->rtc.ops->quiesce(w->rtc.state, INT64_MAX), 0);
	if (line_up(w))
		return; /* slow host: raised before */
	while ((uint32_t)time(NULL) <= at)
		nanosleep(&pause, NULL);
	assert_false(line_up(w));
	w->rtc.ops->resume(w->rtc.state);
	assert_true(line_up(w));
}

static void saves_and_loads(void **state)
{
	struct world *w = *state;
	struct snap_writer out = { 0 };
	struct snap_reader in;

	/* Raised, and not cleared. */
	put(w, LR, 88);
	put(w, IMSC, 0xff);
	set_alarm(w);
	wait_for_line(w);
	assert_int_equal(w->rtc.ops->quiesce(w->rtc.state, INT64_MAX), 0);
	assert_int_equal(w->rtc.ops->save(w->rtc.state, &out), 0);
	w->rtc.ops->reset(w->rtc.state);
	assert_int_equal(get(w, MR), 0);
	assert_false(line_up(w));

	in = (struct snap_reader){ .data = out.data,
				   .len = out.len,
				   .version = w->rtc.ops->version };
	assert_int_equal(w->rtc.ops->load(w->rtc.state, &in), 0);
	assert_int_equal(get(w, LR), 88);
	assert_int_equal(get(w, IMSC), 1);
	assert_int_equal(get(w, RIS), 1);
	assert_true(line_up(w));

	for (size_t len = 0; len < out.len; len++) {
		in = (struct snap_reader){ .data = out.data,
					   .len = len,
					   .version = w->rtc.ops->version };
		assert_int_equal(w->rtc.ops->load(w->rtc.state, &in), -EBADMSG);
		assert_int_equal(get(w, LR), 0);
		assert_false(line_up(w));
	}
	snap_writer_finish(&out);
}

/* A section of version 1 has three words, and no other version has. */
static void loads_version_1(void **state)
{
	struct world *w = *state;
	const uint32_t words[] = { 77, 88, 1, 0, 0 };

	assert_int_equal(load(w, 1, words, 3), 0);
	w->rtc.ops->resume(w->rtc.state);
	assert_int_equal(get(w, MR), 77);
	assert_int_equal(get(w, LR), 88);
	assert_int_equal(get(w, IMSC), 1);
	assert_false(line_up(w));
	assert_int_equal(load(w, 1, words, 5), -EBADMSG);
	assert_int_equal(load(w, 2, words, 3), -EBADMSG);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(tells_the_time),
		TEST(names_itself),
		TEST(odd_accesses),
		TEST(alarm_interrupts),
		TEST(mask_holds_it_back),
		TEST(past_does_not_come),
		TEST(missed_alarm_comes_late),
		TEST(stopped_is_silent),
		TEST(saves_and_loads),
		TEST(loads_version_1),
	};

	return cmocka_run_group_tests_name("dev-rtc", tests, NULL, NULL);
}
