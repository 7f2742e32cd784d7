/* SPDX-License-Identifier: BSD-2-Clause */
/* x86-acpi: the tables, parsed as a guest does, and the AML writer. */
#include <errno.h>

#include "arch/x86/acpi.h"
#include "arch/x86/aml.h"
#include "arch/x86/power.h"
#include "arch/x86/x86.h"
#include "tests/unit/boot/helper.h"

static uint8_t block[X86_ACPI_BYTES];

/* Builds the block for @cpus vCPUs. */
static int build(unsigned int cpus, size_t room)
{
	static struct layout layout;
	const struct acpi_config config = {
		.cpu_count = cpus,
		.layout = &layout,
		.has_serial = true,
		.base_gpa = X86_ACPI,
		.generation_gpa = X86_GENERATION_ID,
	};

	arch_layout(&layout);
	memset(block, 0xee, sizeof(block));
	return acpi_build(&config, block, room);
}

/* The bytes at a guest address in the block. */
static const uint8_t *at(uint64_t gpa, size_t len)
{
	assert_true(gpa >= X86_ACPI);
	assert_true(range_within(gpa - X86_ACPI, len, sizeof(block)));
	return block + (gpa - X86_ACPI);
}

static void assert_sum(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + p[i]);
	assert_int_equal(sum, 0);
}

/* The table with @signature from the XSDT, with a valid checksum. */
static const uint8_t *find_table(const char *signature)
{
	const uint8_t *xsdt = at(get_le64(block + 24), 36);

	for (size_t i = 36; i < get_le32(xsdt + 4); i += 8) {
		const uint8_t *p = at(get_le64(xsdt + i), 36);

		assert_sum(p, get_le32(p + 4));
		if (memcmp(p, signature, 4) == 0)
			return p;
	}
	fail_msg("no table %s", signature);
	return NULL;
}

/* Every table is reachable from the RSDP. */
static void test_root(void **state)
{
	int len = build(1, sizeof(block));
	const uint8_t *xsdt;

	(void)state;
	assert_true(len > 0);
	assert_memory_equal(block, "RSD PTR ", 8);
	assert_sum(block, 20);
	assert_sum(block, 36);
	xsdt = at(get_le64(block + 24), 36);
	assert_memory_equal(xsdt, "XSDT", 4);
	assert_sum(xsdt, get_le32(xsdt + 4));
	assert_int_equal(block[len], 0xee);
}

/* The FADT has hardware-reduced ACPI and the power device's ports. */
static void test_fadt(void **state)
{
	const uint8_t *fadt, *dsdt;

	(void)state;
	build(1, sizeof(block));
	fadt = find_table("FACP");
	assert_true(get_le32(fadt + 112) & 1u << 20);
	assert_true(get_le32(fadt + 112) & 1u << 10);
	assert_int_equal(get_le64(fadt + 120), X86_POWER_PORT + POWER_RESET);
	assert_int_equal(fadt[128], POWER_RESET_VALUE);
	assert_int_equal(get_le64(fadt + 248),
			 X86_POWER_PORT + POWER_SLEEP_CONTROL);
	assert_int_equal(get_le64(fadt + 260),
			 X86_POWER_PORT + POWER_SLEEP_STATUS);
	dsdt = at(get_le64(fadt + 140), 36);
	assert_memory_equal(dsdt, "DSDT", 4);
	assert_sum(dsdt, get_le32(dsdt + 4));
}

/* Counts the processors of a MADT and checks their ids. */
static unsigned int count_cpus(const uint8_t *madt)
{
	unsigned int cpus = 0;
	size_t i = 44, len = get_le32(madt + 4);

	for (; i < len; i += madt[i + 1]) {
		assert_true(madt[i + 1] >= 2);
		if (madt[i] == 0)
			assert_int_equal(madt[i + 3], cpus++);
		else if (madt[i] == 9)
			assert_int_equal(get_le32(madt + i + 4), cpus++);
		else if (madt[i] == 1)
			assert_int_equal(get_le32(madt + i + 4), X86_IOAPIC);
	}
	assert_int_equal(i, len);
	return cpus;
}

/* The MADT lists every processor, as x2APIC entries above the LAPIC limit. */
static void test_madt(void **state)
{
	static const unsigned int counts[] = { 1, 2, 254, 255, 256, 300 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		assert_true(build(counts[i], sizeof(block)) > 0);
		assert_int_equal(count_cpus(find_table("APIC")), counts[i]);
	}
}

/* The MCFG has the ECAM window of the layout. */
static void test_mcfg(void **state)
{
	const uint8_t *mcfg;

	(void)state;
	build(1, sizeof(block));
	mcfg = find_table("MCFG");
	assert_int_equal(get_le32(mcfg + 4), 60);
	assert_int_equal(get_le64(mcfg + 44), X86_ECAM);
	assert_int_equal(mcfg[54], 0);
	assert_int_equal(mcfg[55], 0);
}

/* Every buffer that is too small gives an error, without an overflow. */
static void test_room(void **state)
{
	int len = build(2, sizeof(block));

	(void)state;
	for (size_t room = 0; room < (size_t)len; room++) {
		assert_int_equal(build(2, room), -ENOSPC);
		assert_int_equal(block[room], 0xee);
	}
	assert_int_equal(build(2, (size_t)len), len);
}

/* Integers have the shortest encoding. */
static void test_aml_int(void **state)
{
	static const struct {
		uint64_t v;
		size_t len;
		uint8_t bytes[9];
	} rows[] = {
		{ 0, 1, { 0x00 } },
		{ 1, 1, { 0x01 } },
		{ 2, 2, { 0x0a, 2 } },
		{ 0xff, 2, { 0x0a, 0xff } },
		{ 0x100, 3, { 0x0b, 0, 1 } },
		{ 0x12345678, 5, { 0x0c, 0x78, 0x56, 0x34, 0x12 } },
		{ UINT64_C(1) << 32, 9, { 0x0e, 0, 0, 0, 0, 1 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t b[16];
		struct aml aml = { .data = b, .room = sizeof(b) };

		aml_int(&aml, rows[i].v);
		assert_int_equal(aml.len, rows[i].len);
		assert_memory_equal(b, rows[i].bytes, aml.len);
	}
}

/* Names: padding, root, several segments. */
static void test_aml_path(void **state)
{
	static const struct {
		const char *path, *bytes;
	} rows[] = {
		{ "GED", "GED_" },
		{ "\\_SB", "\\_SB_" },
		{ "_SB.PCI0", "._SB_PCI0" },
		{ "\\_SB.A.B", "\\/\x03_SB_A___B___" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t b[32];
		struct aml aml = { .data = b, .room = sizeof(b) };

		aml_path(&aml, rows[i].path);
		assert_int_equal(aml.len, strlen(rows[i].bytes));
		assert_memory_equal(b, rows[i].bytes, aml.len);
	}
}

/* The PNP id of the specification's example. */
static void test_aml_eisaid(void **state)
{
	uint8_t b[16];
	struct aml aml = { .data = b, .room = sizeof(b) };

	(void)state;
	aml_name_eisaid(&aml, "_HID", "PNP0A03");
	assert_int_equal(aml.len, 10);
	assert_memory_equal(b + 5, "\x0c\x41\xd0\x0a\x03", 5);
}

/* Package lengths around the limits of each encoding. */
static void test_aml_length(void **state)
{
	static const size_t sizes[] = { 0,    61,   62,	     63,      4092,
					4093, 4094, 0xffffb, 0xffffc, 0xffffd };
	size_t room = 0x100100;
	uint8_t *b = test_malloc(room);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct aml aml = { .data = b, .room = room };
		size_t mark = aml_if(&aml), bytes, len;

		for (size_t n = 0; n < sizes[i]; n++)
			aml_byte(&aml, 0);
		aml_end(&aml, mark);
		assert_false(aml.overflow);
		bytes = b[1] >> 6;
		len = bytes ? b[1] & 0xf : b[1] & 0x3f;
		for (size_t n = 0; n < bytes; n++)
			len |= (size_t)b[2 + n] << (4 + 8 * n);
		assert_int_equal(len, sizes[i] + bytes + 1);
		assert_int_equal(aml.len, 1 + len);
	}
	test_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_root),
		cmocka_unit_test(test_fadt),
		cmocka_unit_test(test_madt),
		cmocka_unit_test(test_mcfg),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_aml_int),
		cmocka_unit_test(test_aml_path),
		cmocka_unit_test(test_aml_eisaid),
		cmocka_unit_test(test_aml_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
