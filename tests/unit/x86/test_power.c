/* SPDX-License-Identifier: BSD-2-Clause */
/* x86-power: guest reads and writes of the power ports. */
#include "arch/x86/power.h"
#include "arch/x86/x86.h"
#include "tests/unit/boot/helper.h"

static int raised; /* last event plus 1; 0: none */

static void on_raise(struct machine *machine, enum machine_event event)
{
	(void)machine;
	raised = (int)event + 1;
}

/* A machine with ports and lines only. */
static int setup(void **state)
{
	struct machine *m = test_calloc(1, sizeof(*m));

	m->arch = test_calloc(1, sizeof(*m->arch));
	m->raise = on_raise;
	arch_layout(&m->layout);
	assert_int_equal(bus_init(&m->pio), 0);
	assert_int_equal(irqs_init(&m->irqs, NULL, &m->layout.irq_map), 0);
	assert_int_equal(power_create(m), 0);
	raised = 0;
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	struct machine *m = *state;

	irqs_finish(&m->irqs);
	bus_finish(&m->pio);
	test_free(m->arch);
	test_free(m);
	return 0;
}

/* The event raised by a write of @value to @port. */
static int write_port(struct machine *m, uint64_t port, uint32_t value,
		      unsigned int size)
{
	raised = 0;
	assert_true(bus_write(&m->pio, port, &value, size));
	return raised - 1;
}

/* Only S5 with the enable bit powers off. */
static void test_sleep(void **state)
{
	struct machine *m = *state;

	for (uint32_t v = 0; v < 256; v++)
		assert_int_equal(write_port(m, X86_POWER_PORT, v, 1),
				 (v & 0x20) && (v >> 2 & 7) == POWER_S5 ?
					 MACHINE_POWER_OFF :
					 -1);
}

/* Only the reset values reset. */
static void test_reset(void **state)
{
	struct machine *m = *state;

	for (uint32_t v = 0; v < 256; v++) {
		assert_int_equal(write_port(m, X86_POWER_PORT + POWER_RESET, v,
					    1),
				 v == POWER_RESET_VALUE ? MACHINE_RESET : -1);
		assert_int_equal(write_port(m, 0x64, v, 1),
				 v == 0xfe ? MACHINE_RESET : -1);
	}
}

/* Events raise the line until they are read, once. */
static void test_events(void **state)
{
	struct machine *m = *state;
	uint32_t v = 0;

	assert_int_equal(m->irqs.line_sources[X86_EVENT_GSI], 0);
	arch_notify(m, MACHINE_NOTICE_POWER_BUTTON);
	arch_notify(m, MACHINE_NOTICE_GENERATION);
	assert_int_not_equal(m->irqs.line_sources[X86_EVENT_GSI], 0);
	assert_true(bus_read(&m->pio, X86_POWER_PORT + POWER_EVENTS, &v, 4));
	assert_int_equal(v, POWER_EVENT_BUTTON | POWER_EVENT_GENERATION);
	assert_int_equal(m->irqs.line_sources[X86_EVENT_GSI], 0);
	assert_true(bus_read(&m->pio, X86_POWER_PORT + POWER_EVENTS, &v, 4));
	assert_int_equal(v, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sleep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
