/* SPDX-License-Identifier: BSD-2-Clause */
/* x86-cpuid: vCPU tables from synthetic ones, topology and missing features. */
#include <asm/kvm_para.h>
#include <stdlib.h>

#include "arch/x86/cpuid.h"
#include "tests/unit/boot/helper.h"
#include "vmm/kvm/kvm.h"

/* "GenuineIntel" and "AuthenticAMD" as leaf 0 has them. */
#define INTEL 0x756e6547, 0x6c65746e, 0x49656e69
#define AMD   0x68747541, 0x444d4163, 0x69746e65

/* Adds an entry. */
static struct kvm_cpuid_entry2 *add(struct kvm_cpuid2 *t, uint32_t function,
				    uint32_t index, bool indexed)
{
	struct kvm_cpuid_entry2 *e = &t->entries[t->nent++];

	*e = (struct kvm_cpuid_entry2){
		.function = function,
		.index = index,
		.flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
	};
	return e;
}

/* A host's table, with every bit set that must change. */
static struct kvm_cpuid2 *make(uint32_t ebx, uint32_t edx, uint32_t ecx)
{
	struct kvm_cpuid2 *t = cpuid_alloc(CPUID_ENTRIES_MAX);
	struct kvm_cpuid_entry2 *e;

	assert_non_null(t);
	e = add(t, 0, 0, false);
	e->eax = 0x1f;
	e->ebx = ebx;
	e->ecx = ecx;
	e->edx = edx;
	e = add(t, 1, 0, false);
	e->ebx = 0x07200800;
	e->ecx = 0x00200020 | 1; /* x2APIC, VMX, SSE3 */
	e->edx = 0x1 | 1u << 28;
	e = add(t, 4, 0, true);
	e->eax = 0x1c004121; /* level 1 */
	e = add(t, 4, 3, true);
	e->eax = 0x1c03c163; /* level 3 */
	add(t, 7, 0, true)->ecx = 1 << 7 | 1 << 2; /* SHSTK, UMIP */
	add(t, 7, 1, true)->ecx = 1 << 7;
	e = add(t, 0xb, 0, true);
	e->ebx = 99;
	add(t, 0x1f, 0, true)->ebx = 99;
	add(t, KVM_CPUID_FEATURES, 0, false)->eax = UINT32_MAX;
	add(t, 0x80000001, 0, false)->ecx = 1 << 2 | 1 << 22;
	e = add(t, 0x80000008, 0, false);
	e->eax = 0x3030;
	e->ecx = 0x700f;
	e = add(t, 0x8000001e, 0, false);
	e->eax = 77;
	e->ebx = 0x177;
	e->ecx = 0x300;
	return t;
}

/* The table of vCPU @id of @count. */
static struct kvm_cpuid2 *vcpu(const struct kvm_cpuid2 *host, unsigned int id,
			       unsigned int count)
{
	struct kvm_cpuid2 *t = cpuid_alloc(CPUID_ENTRIES_MAX);

	assert_non_null(t);
	cpuid_for_vcpu(host, id, count, true, t);
	return t;
}

/* Ids and counts of the leaves common to both vendors. */
static void check_common(const struct kvm_cpuid2 *t, unsigned int id,
			 unsigned int count, unsigned int bits)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(t, 1, 0);

	assert_int_equal(e->ebx >> 24, id);
	assert_int_equal(e->ebx >> 16 & 0xff,
			 (1u << bits) > 255 ? 255 : 1u << bits);
	assert_int_equal(!!(e->edx & 1u << 28), count > 1);
	assert_true(e->ecx & 1u << 31);
	assert_true(e->ecx & 1u << 24);
	assert_false(e->ecx & 1u << 5);
	e = cpuid_find(t, 0xb, 0);
	assert_int_equal(e->eax, 0);
	assert_int_equal(e->ebx, 1);
	assert_int_equal(e->edx, id);
	e = cpuid_find(t, 0xb, 1);
	assert_int_equal(e->eax, bits);
	assert_int_equal(e->ebx, count);
	assert_int_equal(e->ecx, 0x201);
	assert_int_equal(cpuid_find(t, 0xb, 2)->ecx, 2);
	/* Shadow stacks are masked. */
	assert_int_equal(cpuid_find(t, 7, 0)->ecx, 1 << 2);
	assert_int_equal(cpuid_find(t, 7, 1)->ecx, 1 << 7);
	e = cpuid_find(t, KVM_CPUID_FEATURES, 0);
	assert_false(e->eax & (1 << KVM_FEATURE_ASYNC_PF |
			       1 << KVM_FEATURE_ASYNC_PF_VMEXIT |
			       1 << KVM_FEATURE_ASYNC_PF_INT));
	assert_true(e->eax & 1 << KVM_FEATURE_CLOCKSOURCE2);
}

/* An Intel host: leaves 4 and 0x1f. */
static void test_intel(void **state)
{
	static const unsigned int counts[][2] = {
		{ 1, 0 }, { 2, 1 }, { 3, 2 }, { 64, 6 }, { 65, 7 }, { 255, 8 },
	};
	struct kvm_cpuid2 *host = make(INTEL), *t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		unsigned int count = counts[i][0], bits = counts[i][1];
		uint32_t cores;

		t = vcpu(host, count - 1, count);
		check_common(t, count - 1, count, bits);
		assert_int_equal(cpuid_find(t, 0x1f, 1)->ebx, count);
		cores = (1u << bits) - 1 > 63 ? 63 : (1u << bits) - 1;
		assert_int_equal(cpuid_find(t, 4, 0)->eax >> 26, cores);
		assert_int_equal(cpuid_find(t, 4, 0)->eax >> 14 & 0xfff, 0);
		assert_int_equal(cpuid_find(t, 4, 3)->eax >> 14 & 0xfff,
				 (1u << bits) - 1);
		free(t);
	}
	free(host);
}

/* An AMD host: leaves 0x80000008 and 0x8000001e. */
static void test_amd(void **state)
{
	struct kvm_cpuid2 *host = make(AMD);
	struct kvm_cpuid2 *t = vcpu(host, 2, 6);

	(void)state;
	check_common(t, 2, 6, 3);
	assert_null(cpuid_find(t, 0x1f, 0));
	assert_int_equal(cpuid_find(t, 0x80000001, 0)->ecx, 1 << 1 | 1 << 22);
	assert_int_equal(cpuid_find(t, 0x80000008, 0)->ecx, 0x3005);
	assert_int_equal(cpuid_find(t, 0x8000001e, 0)->eax, 2);
	assert_int_equal(cpuid_find(t, 0x8000001e, 0)->ebx, 2);
	assert_int_equal(cpuid_find(t, 0x8000001e, 0)->ecx, 0);
	free(t);
	free(host);
}

/* A full table leaves room for the added entries. */
static void test_full(void **state)
{
	struct kvm_cpuid2 *host = make(INTEL), *t;

	(void)state;
	while (host->nent < CPUID_ENTRIES_MAX)
		add(host, 0x40000100 + host->nent, 0, false);
	t = vcpu(host, 0, 2);
	assert_true(t->nent <= CPUID_ENTRIES_MAX);
	assert_non_null(cpuid_find(t, 0xb, 1));
	free(t);
	free(host);
}

/* Address bits: the guest's if reported, within limits. */
static void test_address_bits(void **state)
{
	struct kvm_cpuid2 *t = cpuid_alloc(1);
	struct kvm_cpuid_entry2 *e;

	(void)state;
	assert_int_equal(cpuid_address_bits(t), 36);
	e = add(t, 0x80000008, 0, false);
	e->eax = 0x3030;
	assert_int_equal(cpuid_address_bits(t), 48);
	e->eax = 0x2a3030;
	assert_int_equal(cpuid_address_bits(t), 42);
	e->eax = 0xff;
	assert_int_equal(cpuid_address_bits(t), 52);
	free(t);
}

/* Missing features are listed by name or position. */
static void test_missing(void **state)
{
	struct kvm_cpuid2 *host = make(INTEL);
	struct kvm_cpuid2 *want = vcpu(host, 0, 1), *have = vcpu(host, 0, 1);
	char names[256] = "";
	FILE *to = fmemopen(names, sizeof(names), "w");

	(void)state;
	assert_int_equal(cpuid_missing(want, have, to), 0);
	/* OSXSAVE depends on the guest's CR4 */
	cpuid_find(want, 1, 0)->ecx |= 1u << 27;
	assert_int_equal(cpuid_missing(want, have, to), 0);
	cpuid_find(want, 1, 0)->ecx |= 1u << 25 | 1u << 16;
	cpuid_find(want, 7, 0)->ebx |= 1 << 5;
	assert_int_equal(cpuid_missing(want, have, to), 3);
	assert_int_equal(cpuid_missing(have, want, to), 0);
	fclose(to);
	assert_string_equal(names, "cpuid_1_ecx_bit_16 aes avx2");
	free(have);
	free(want);
	free(host);
}

/* Features are listed once each; the processor model is described. */
static void test_features(void **state)
{
	struct kvm_cpuid2 *t = cpuid_alloc(CPUID_ENTRIES_MAX);
	char names[256] = "", model[96];
	FILE *to = fmemopen(names, sizeof(names), "w");
	struct kvm_cpuid_entry2 *e;

	(void)state;
	cpuid_model(t, model, sizeof(model));
	assert_string_equal(model, " family 0 model 0 stepping 0");
	e = add(t, 0, 0, false);
	memcpy(&e->ebx, "Genu", 4);
	memcpy(&e->edx, "ineI", 4);
	memcpy(&e->ecx, "ntel", 4);
	e = add(t, 1, 0, false);
	e->eax = 0x000806f8;
	e->ecx = 1u << 27 | 1u << 26; /* OSXSAVE is not a feature */
	e->edx = 1 << 4 | 1 << 10;
	e = add(t, 0x80000001, 0, false);
	e->edx = 1 << 4 | 1 << 29; /* the first repeats leaf 1 */
	e = add(t, 0x80000002, 0, false);
	memcpy(&e->eax, "  A ", 4);
	memcpy(&e->ebx, "CPU", 4);
	cpuid_features(t, to);
	fclose(to);
	assert_string_equal(names, "xsave\ntsc\ncpuid_1_edx_bit_10\nlm\n");
	cpuid_model(t, model, sizeof(model));
	assert_string_equal(model, "GenuineIntel family 6 model 143 "
				   "stepping 8, A CPU");
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_intel),
		cmocka_unit_test(test_amd),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_address_bits),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_features),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
