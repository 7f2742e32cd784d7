/* SPDX-License-Identifier: BSD-2-Clause */
/* arm64-idreg: missing features, by name. */
#include "arch/arm64/idreg.h"
#include "tests/unit/boot/helper.h"

#define PFR0  ID_REG(4, 0)
#define ISAR0 ID_REG(6, 0)
#define MMFR0 ID_REG(7, 0)

/* A smaller field is named; an equal or larger one is not. */
static void test_less(void **state)
{
	const uint64_t aes = UINT64_C(2) << 4, rndr = UINT64_C(1) << 60;
	char buf[64];

	(void)state;
	assert_int_equal(arm64_features_missing(ISAR0, 0, aes | rndr, buf,
						sizeof(buf)),
			 2);
	assert_string_equal(buf, "AES, RNDR");
	assert_int_equal(arm64_features_missing(ISAR0, aes / 2, aes, buf,
						sizeof(buf)),
			 1);
	assert_string_equal(buf, "AES");
	assert_int_equal(arm64_features_missing(ISAR0, aes | rndr, aes, buf,
						sizeof(buf)),
			 0);
	assert_string_equal(buf, "");
}

/* In a signed field, 0xf is the minimum. */
static void test_signed(void **state)
{
	const uint64_t none = UINT64_C(0xf) << 16; /* no floating point */
	char buf[64];

	(void)state;
	assert_int_equal(arm64_features_missing(PFR0, none, 0, buf,
						sizeof(buf)),
			 1);
	assert_string_equal(buf, "FP");
	assert_int_equal(arm64_features_missing(PFR0, 0, none, buf,
						sizeof(buf)),
			 0);
	assert_int_equal(arm64_features_missing(MMFR0, UINT64_C(0xf) << 24, 0,
						buf, sizeof(buf)),
			 1);
	assert_string_equal(buf, "64K pages");
}

/* The names are truncated, the count is not. */
static void test_room(void **state)
{
	char buf[8] = "xxxxxxx";

	(void)state;
	assert_int_equal(arm64_features_missing(ISAR0, 0,
						UINT64_C(0x1111111111111111),
						buf, 6),
			 16);
	assert_int_equal(strlen(buf), 5);
	assert_int_equal(buf[6], 'x');
	assert_int_equal(arm64_features_missing(ISAR0, 0, 0x10, NULL, 0), 1);
}

/* An unknown register has no names. */
static void test_unknown(void **state)
{
	char buf[8];

	(void)state;
	assert_int_equal(arm64_features_missing(ID_REG(15, 7), 0, UINT64_MAX,
						buf, sizeof(buf)),
			 0);
	assert_null(arm64_id_reg_name(ID_REG(15, 7)));
	assert_string_equal(arm64_id_reg_name(PFR0), "ID_AA64PFR0_EL1");
}

/* Present features: from 0 in a signed field, else from 1. */
static void test_features(void **state)
{
	char buf[128] = "";
	FILE *to = fmemopen(buf, sizeof(buf), "w");

	(void)state;
	arm64_features(ISAR0, UINT64_C(2) << 4 | UINT64_C(1) << 60, to);
	arm64_features(ID_REG(15, 7), UINT64_MAX, to);
	/* Floating point level 2, no vectors. */
	arm64_features(PFR0, UINT64_C(0xf1) << 16, to);
	fclose(to);
	assert_string_equal(buf, "AES=2\nRNDR\nFP=1\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_less),	 cmocka_unit_test(test_signed),
		cmocka_unit_test(test_room),	 cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_features),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
