/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Formatting, numbers, arguments and free memory of the guest library, on the
 * host.  The build renames functions that libc has too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "guest/lib/console.h"
#include "guest/lib/machine.h"
#include "guest/lib/print.h"
#include "guest/lib/string.h"

/* From the linker script. */
char image_end[1];

void cpu_relax(void);

/* Stubs of the architecture. */
void cpu_relax(void)
{
}

void console_write(const char *text, size_t len)
{
	(void)text;
	(void)len;
}

static void test_print(void **state)
{
	char to[64];

	(void)state;
	print_into(to, sizeof(to), "%s|%5s|%-5s|%c|%%", "a", "b", "c", 'd');
	assert_string_equal(to, "a|    b|c    |d|%");
	print_into(to, sizeof(to), "%d %u %lu %ld", -5, 7u, UINT64_MAX,
		   INT64_MIN);
	assert_string_equal(to,
			    "-5 7 18446744073709551615 -9223372036854775808");
	print_into(to, sizeof(to), "%04x %-4x| %*u %016lx", 0xabu, 0xcu, 4, 9u,
		   UINT64_C(0x1234));
	assert_string_equal(to, "00ab c   |    9 0000000000001234");
	print_into(to, 4, "%s", "too long");
	assert_string_equal(to, "too");
}

static void test_units(void **state)
{
	(void)state;
	assert_string_equal(text_bytes(0).s, "0 bytes");
	assert_string_equal(text_bytes(1536).s, "1.5 KiB");
	assert_string_equal(text_bytes(UINT64_C(5) << 30).s, "5 GiB");
	assert_string_equal(text_cycles(5, 0).s, "5 cycles");
	assert_string_equal(text_cycles(25, 1000000000).s, "25.00 ns");
	assert_string_equal(text_cycles(3250, 2000000000).s, "1.62 us");
	assert_string_equal(
		text_cycles(UINT64_C(90) * 2500000000, 2500000000).s,
		"90.00 s");
}

static void test_numbers(void **state)
{
	uint64_t n;

	(void)state;
	assert_true(string_number("42", &n));
	assert_int_equal(n, 42);
	assert_true(string_number("0x1fG", &n));
	assert_int_equal(n, UINT64_C(0x1f) << 30);
	assert_true(string_number("3M next", &n));
	assert_int_equal(n, 3 << 20);
	assert_false(string_number("x", &n));
	assert_false(string_number("", &n));
	assert_false(string_number("0x", &n));
}

static void test_arguments(void **state)
{
	static const struct machine machine = {
		.cmdline = "console=ttyS0 pages=16 order=rand  xpages=3",
	};

	(void)state;
	assert_int_equal(arg_number(&machine, "pages", 1), 16);
	assert_int_equal(arg_number(&machine, "xpages", 1), 3);
	assert_int_equal(arg_number(&machine, "absent", 9), 9);
	assert_int_equal(arg_number(&machine, "order", 9), 9);
	assert_true(arg_is(&machine, "order", "rand"));
	assert_false(arg_is(&machine, "order", "ran"));
	assert_false(arg_is(&machine, "order", "random"));
}

/* Free RAM is behind the image, without initrd and device tree. */
static void test_free_ram(void **state)
{
	uint64_t image = (uintptr_t)image_end;
	uint64_t start = (image + 0x1fffff) & ~UINT64_C(0x1fffff);
	struct machine machine = {
		.ram_count = 1,
		.ram = { { image - 4096, start + (16 << 20) } },
	};
	struct range free = machine_free_ram(&machine);

	(void)state;
	assert_int_equal(free.start, start);
	assert_int_equal(free.end, start + (16 << 20));
	machine.initrd =
		(struct range){ start + (12 << 20), start + (16 << 20) };
	assert_int_equal(machine_free_ram(&machine).end, start + (12 << 20));
	machine.device_tree = (struct range){ start, start + 4096 };
	assert_int_equal(machine_free_ram(&machine).start, start + (2 << 20));
	machine.ram[0].end = image + 1;
	assert_int_equal(machine_free_ram(&machine).end, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_free_ram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
