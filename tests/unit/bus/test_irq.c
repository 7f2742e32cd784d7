/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupt lines and the table of MSIs, without KVM. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vmm/bus/irq.h"

static const struct irq_map map = { .line_count = 24, .msi_first = 24 };

/* A line is up while any source holds it, and counts its rises. */
static void line_is_shared(void **state)
{
	struct irqs irqs;

	(void)state;
	assert_int_equal(irqs_init(&irqs, NULL, &map), 0);
	irq_line_set(&irqs, 5, 1, true);
	irq_line_set(&irqs, 5, 2, true);
	assert_int_equal(irqs.raised, 1);
	irq_line_set(&irqs, 5, 1, false);
	assert_int_equal(irqs.line_sources[5], 1 << 2);
	irq_line_set(&irqs, 5, 2, false);
	assert_int_equal(irqs.line_sources[5], 0);
	irq_line_set(&irqs, 5, 2, true);
	assert_int_equal(irqs.raised, 2);
	irq_line_set(&irqs, IRQ_LINES_MAX, 0, true); /* no such line */
	assert_int_equal(irqs.raised, 2);
	irqs_finish(&irqs);
}

/* GSIs are unique, limited in number, and reusable after free. */
static void msis_run_out(void **state)
{
	struct irqs irqs;
	int first;

	(void)state;
	assert_int_equal(irqs_init(&irqs, NULL, &map), 0);
	first = irq_msi_alloc(&irqs);
	assert_int_equal(first, 24);
	for (int i = 1; i < IRQ_MSIS_MAX; i++)
		assert_int_equal(irq_msi_alloc(&irqs), 24 + i);
	assert_int_equal(irq_msi_alloc(&irqs), -ENOSPC);
	irq_msi_free(&irqs, 100);
	assert_int_equal(irq_msi_alloc(&irqs), 100);
	assert_int_equal(irq_msi_route(&irqs, 23, 0, 0, 0), -EINVAL);
	assert_int_equal(irq_msi_route(&irqs, 24 + IRQ_MSIS_MAX, 0, 0, 0),
			 -EINVAL);
	assert_int_equal(irq_msi_route(&irqs, first, 0xfee00000, 1, 2), 0);
	irqs_finish(&irqs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(line_is_shared),
		cmocka_unit_test(msis_run_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
