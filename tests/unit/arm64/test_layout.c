/* SPDX-License-Identifier: BSD-2-Clause */
/* arm64-layout: no overlaps, lines are SPIs, limits of RAM. */
#include <errno.h>

#include "arch/arm64/layout.h"
#include "tests/unit/boot/helper.h"

/* Address ranges do not overlap and are below RAM. */
static void test_no_overlap(void **state)
{
	static const struct memory_range ranges[] = {
		{ ARM64_GICD_GPA, ARM64_GICD_BYTES },
		{ ARM64_ITS_GPA, ARM64_ITS_BYTES },
		{ ARM64_GICR_GPA, ARM64_GICR_BYTES },
		{ ARM64_SERIAL_GPA, PAGE_BYTES },
		{ ARM64_RTC_GPA, PAGE_BYTES },
		{ ARM64_ECAM_GPA, ARM64_ECAM_BYTES },
		{ ARM64_PCI_MMIO_GPA, ARM64_PCI_MMIO_BYTES },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		assert_true(range_within(ranges[i].gpa, ranges[i].size_bytes,
					 ARM64_RAM_GPA));
		for (size_t j = 0; j < i; j++)
			assert_true(
				ranges[i].gpa >=
					ranges[j].gpa + ranges[j].size_bytes ||
				ranges[j].gpa >=
					ranges[i].gpa + ranges[i].size_bytes);
	}
}

/* Each line is a different SPI with the same KVM number. */
static void test_lines(void **state)
{
	struct kvm_irq_routing_entry entries[IRQ_LINES_MAX];
	struct layout l;
	size_t n;

	(void)state;
	arch_layout(&l);
	assert_true(l.irq_map.line_count <= IRQ_LINES_MAX);
	assert_true(l.intx_first + l.intx_count <= l.irq_map.line_count);
	assert_true(l.serial_gsi != l.rtc_gsi && l.rtc_gsi != l.event_gsi);
	assert_true(l.event_gsi < l.intx_first ||
		    l.event_gsi >= l.intx_first + l.intx_count);
	assert_true(l.irq_map.msi_devid);
	/* api.rst 4.25: type 1 in bits 27:24, the interrupt id in 15:0. */
	assert_int_equal(l.irq_map.line_encode(5), 0x01000000 | (32 + 5));
	n = l.irq_map.line_routes(entries, IRQ_LINES_MAX);
	assert_int_equal(n, l.irq_map.line_count);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(entries[i].gsi, i);
		assert_int_equal(entries[i].u.irqchip.pin, i);
	}
	assert_int_equal(l.irq_map.line_routes(entries, 3), 3);
}

/* RAM is one range; beyond the guest's address bits it is refused. */
static void test_ram(void **state)
{
	const struct kvm kvm = { .fd = -1 }; /* no capabilities: 40 bits */
	struct memory_range ranges[MEMORY_RANGES_MAX];
	struct capture capture;

	(void)state;
	assert_int_equal(arch_ram_ranges(&kvm, 5 * GIB, ranges), 1);
	assert_int_equal(ranges[0].gpa, ARM64_RAM_GPA);
	assert_int_equal(ranges[0].size_bytes, 5 * GIB);
	assert_int_equal(arch_ram_ranges(&kvm, TIB - GIB, ranges), 1);
	capture_begin(&capture);
	assert_int_equal(arch_ram_ranges(&kvm, TIB - GIB + PAGE_BYTES, ranges),
			 -ERANGE);
	capture_one_line(&capture, "40 bits");
	capture_begin(&capture);
	assert_int_equal(arch_ram_ranges(&kvm, UINT64_MAX, ranges), -ERANGE);
	capture_one_line(&capture, "40 bits");
}

/* The VM type depends on the end of RAM. */
static void test_vm_type(void **state)
{
	const struct kvm kvm = { .fd = -1 };
	unsigned long type = 77;
	struct capture capture;

	(void)state;
	assert_int_equal(arch_vm_type(&kvm, TIB, &type), 0);
	assert_int_equal(type, 0);
	capture_begin(&capture);
	assert_int_equal(arch_vm_type(&kvm, TIB + 1, &type), -ERANGE);
	capture_one_line(&capture, "41 bits");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_overlap),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_ram),
		cmocka_unit_test(test_vm_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
