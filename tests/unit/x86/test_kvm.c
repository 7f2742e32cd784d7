/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * x86-kvm: the hooks against this machine's KVM.  A machine of two vCPUs is
 * made and given registers that are not the defaults; its state goes into a
 * second machine, and what that one saves must be the same but for time.  Then
 * every shorter state, and states with bits flipped, are loaded: any answer,
 * no crash.
 */
#include <errno.h>
#include <stdlib.h>

#include "arch/x86/msr.h"
#include "arch/x86/x86.h"
#include "tests/unit/boot/helper.h"
#include "vmm/snap/section.h"

#define CPUS	  2
#define RAM_BYTES (4 * MIB)

/* A machine without devices. */
struct box {
	struct machine m;
	struct kvm_vcpu cpus[CPUS];
};

/* Its state: the machine's, then the vCPUs'. */
struct saved {
	struct snap_writer w[1 + CPUS];
};

static void box_init(struct box *b)
{
	const struct memory_range ranges[] = { { 0, RAM_BYTES } };
	const struct memory_config config = {
		.backing = MEMORY_ANON,
		.ranges = ranges,
		.range_count = 1,
		.file_fd = -1,
	};

	memset(b, 0, sizeof(*b));
	arch_layout(&b->m.layout);
	assert_int_equal(kvm_open(&b->m.kvm, NULL), 0);
	assert_int_equal(kvm_vm_create(&b->m.vm, &b->m.kvm, 0), 0);
	assert_int_equal(memory_init(&b->m.memory, &config, &b->m.vm), 0);
	assert_int_equal(arch_vm_setup(&b->m), 0);
	assert_int_equal(memory_attach(&b->m.memory, &b->m.vm), 0);
	assert_int_equal(arch_irqchip_create(&b->m), 0);
	b->m.cpus = b->cpus;
	b->m.cpu_count = CPUS;
	for (unsigned int i = 0; i < CPUS; i++) {
		assert_int_equal(kvm_vcpu_create(&b->cpus[i], &b->m.vm, i), 0);
		assert_int_equal(arch_vcpu_setup(&b->m, &b->cpus[i]), 0);
	}
	assert_int_equal(bus_init(&b->m.pio), 0);
	assert_int_equal(irqs_init(&b->m.irqs, &b->m.vm, &b->m.layout.irq_map),
			 0);
	assert_int_equal(arch_irqchip_finish(&b->m), 0);
}

static void box_finish(struct box *b)
{
	irqs_finish(&b->m.irqs);
	bus_finish(&b->m.pio);
	for (unsigned int i = 0; i < CPUS; i++)
		kvm_vcpu_destroy(&b->cpus[i]);
	arch_vm_finish(&b->m);
	kvm_vm_destroy(&b->m.vm);
	memory_finish(&b->m.memory);
	kvm_close(&b->m.kvm);
}

/* Registers that are not what a new vCPU has. */
static void scramble(struct box *b)
{
	for (unsigned int i = 0; i < CPUS; i++) {
		struct kvm_regs regs = {
			.rax = 0x1111 + i,
			.r15 = UINT64_MAX - i,
			.rip = 0x1000,
			.rflags = 2,
		};
		struct kvm_debugregs debug = { 0 };

		assert_true(kvm_call(b->cpus[i].fd, KVM_SET_REGS, &regs) >= 0);
		kvm_call(b->cpus[i].fd, KVM_GET_DEBUGREGS, &debug);
		debug.db[0] = 0xabc0 + i;
		kvm_call(b->cpus[i].fd, KVM_SET_DEBUGREGS, &debug);
		assert_int_equal(msr_set(&b->cpus[i], 0xc0000102, 0x7000 + i),
				 0);
	}
	arch_notify(&b->m, MACHINE_NOTICE_POWER_BUTTON);
}

static void save(struct box *b, struct saved *s)
{
	memset(s, 0, sizeof(*s));
	assert_int_equal(arch_machine_save(&b->m, &s->w[0]), 0);
	for (unsigned int i = 0; i < CPUS; i++)
		assert_int_equal(arch_vcpu_save(&b->m, &b->cpus[i],
						&s->w[1 + i]),
				 0);
}

static void saved_finish(struct saved *s)
{
	for (unsigned int i = 0; i < 1 + CPUS; i++)
		snap_writer_finish(&s->w[i]);
}

/* Loads part @i of a state from @len bytes. */
static int load_part(struct box *b, unsigned int i, const uint8_t *data,
		     size_t len)
{
	struct snap_reader r = { .data = data, .len = len };

	return i == 0 ? arch_machine_load(&b->m, &r) :
			arch_vcpu_load(&b->m, &b->cpus[i - 1], &r);
}

/* How many bytes of two states differ. */
static size_t differences(const struct snap_writer *a,
			  const struct snap_writer *b)
{
	size_t n = 0;

	assert_int_equal(a->len, b->len);
	for (size_t i = 0; i < a->len; i++)
		n += a->data[i] != b->data[i];
	return n;
}

/* What is loaded is what is saved again, but for clock and TSC. */
static void test_round_trip(void **state)
{
	struct box first, second;
	struct saved a, b;

	(void)state;
	box_init(&first);
	scramble(&first);
	save(&first, &a);
	box_init(&second);
	for (unsigned int i = 0; i < 1 + CPUS; i++)
		assert_int_equal(load_part(&second, i, a.w[i].data, a.w[i].len),
				 0);
	save(&second, &b);
	/* Two numbers of 8 bytes in the machine, three in a vCPU; MPERF and
	 * kin may tick as well. */
	assert_true(differences(&a.w[0], &b.w[0]) <= 16);
	for (unsigned int i = 1; i < 1 + CPUS; i++)
		assert_true(differences(&a.w[i], &b.w[i]) <= 64);
	assert_int_equal(atomic_load(&second.m.arch->events), 1);
	saved_finish(&a);
	saved_finish(&b);
	box_finish(&second);
	box_finish(&first);
}

/* The TSC goes on, and the vCPUs agree on it. */
static void test_tsc(void **state)
{
	struct box first, second;
	struct saved s;
	uint64_t before[CPUS], after[CPUS];

	(void)state;
	box_init(&first);
	save(&first, &s);
	box_init(&second);
	for (unsigned int i = 0; i < CPUS; i++)
		assert_int_equal(msr_get(&first.cpus[i], MSR_TSC, &before[i]),
				 0);
	for (unsigned int i = 0; i < 1 + CPUS; i++)
		assert_int_equal(load_part(&second, i, s.w[i].data, s.w[i].len),
				 0);
	for (unsigned int i = 0; i < CPUS; i++) {
		assert_int_equal(msr_get(&second.cpus[i], MSR_TSC, &after[i]),
				 0);
		assert_true(after[i] >= before[i]);
	}
	/* Read one after the other; a second would be a broken offset. */
	assert_true(after[1] - after[0] < UINT64_C(1000000000));
	saved_finish(&s);
	box_finish(&second);
	box_finish(&first);
}

/* Every shorter state is refused. */
static void test_short(void **state)
{
	struct box b;
	struct saved s;
	struct capture c;

	(void)state;
	box_init(&b);
	save(&b, &s);
	for (unsigned int i = 0; i < 1 + CPUS; i++)
		for (size_t len = 0; len < s.w[i].len; len += 1 + len / 16) {
			capture_begin(&c);
			assert_true(load_part(&b, i, s.w[i].data, len) < 0);
			assert_true(capture_end(&c) <= 1);
		}
	saved_finish(&s);
	box_finish(&b);
}

/* Flipped bits: any answer but a crash. */
static void test_flipped(void **state)
{
	struct box b;
	struct saved s;
	struct capture c;

	(void)state;
	srandom(1);
	box_init(&b);
	save(&b, &s);
	for (int round = 0; round < 1000; round++) {
		unsigned int i = (unsigned int)random() % (1 + CPUS);
		size_t at = (size_t)random() % s.w[i].len;
		uint8_t bit = (uint8_t)(1 << random() % 8);

		s.w[i].data[at] ^= bit;
		capture_begin(&c);
		load_part(&b, i, s.w[i].data, s.w[i].len);
		assert_true(capture_end(&c) <= 2);
		s.w[i].data[at] ^= bit;
	}
	saved_finish(&s);
	box_finish(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_tsc),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_flipped),
	};

	if (access("/dev/kvm", R_OK | W_OK) < 0) {
		fprintf(stderr, "/dev/kvm cannot be opened\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
