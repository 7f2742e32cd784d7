/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * x86-kvm: the hooks with real KVM.
 *
 * A machine of two vCPUs gets non-default registers; its state is loaded into a
 * second machine and saved again, which must give the same bytes except for
 * time.  Then truncated states and states with bit flips are loaded: any
 * result, no crash.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#include "arch/x86/clock.h"
#include "arch/x86/msr.h"
#include "arch/x86/x86.h"
#include "tests/unit/boot/helper.h"
#include "vmm/kvm/stats.h"
#include "vmm/snap/section.h"

#define CPUS	  2
#define RAM_BYTES (4 * MIB)

/* LAPIC registers for a timer (Intel SDM volume 3, 11.4.1). */
#define LAPIC_SPURIOUS	  0xf0
#define LAPIC_IRR	  0x200 /* 32 vectors in each 16 bytes */
#define LAPIC_LVT_TIMER	  0x320
#define LAPIC_TIMER_INIT  0x380
#define LAPIC_TIMER_DIV	  0x3e0
#define LAPIC_ENABLE	  0x100
#define LVT_TSC_DEADLINE  (2u << 17)
#define TIMER_DIVIDE_BY_1 0xb
#define TIMER_VECTOR	  0x31
#define TIMER_MS	  20
#define TIMER_PATIENCE_S  10

/* A machine without devices. */
struct box {
	struct machine m;
	struct kvm_vcpu cpus[CPUS];
};

/* Its saved state: machine, then vCPUs. */
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

/* Sets non-default registers. */
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

/* The number of bytes in which two states differ. */
static size_t differences(const struct snap_writer *a,
			  const struct snap_writer *b)
{
	size_t n = 0;

	assert_int_equal(a->len, b->len);
	for (size_t i = 0; i < a->len; i++)
		n += a->data[i] != b->data[i];
	return n;
}

/* A loaded state is saved unchanged, except for clock and TSC. */
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
	/*
	 * Two numbers of 8 bytes in the machine, three in a vCPU; MPERF and
	 * similar MSRs may count too.
	 */
	assert_true(differences(&a.w[0], &b.w[0]) <= 16);
	for (unsigned int i = 1; i < 1 + CPUS; i++)
		assert_true(differences(&a.w[i], &b.w[i]) <= 64);
	assert_int_equal(atomic_load(&second.m.arch->events), 1);
	saved_finish(&a);
	saved_finish(&b);
	box_finish(&second);
	box_finish(&first);
}

/* The value of MSR @index in a vCPU's state: behind its number. */
static uint8_t *find_msr(const struct snap_writer *w, uint32_t index)
{
	uint8_t *found = NULL;

	/* Neighbours in the list identify it. */
	for (size_t i = 12; i + 24 <= w->len; i++)
		if (get_le32(w->data + i) == index &&
		    get_le32(w->data + i - 12) == index - 1 &&
		    get_le32(w->data + i + 12) == index + 1)
			found = w->data + i + 4;
	return found;
}

/* MSRs that KVM supports but does not list, with valid values. */
static const struct {
	uint32_t index;
	uint64_t value;
} unlisted[] = {
	{ 0x200, 0xc0000000 }, /* MTRRs: a base, its mask, */
	{ 0x201, 0xffc0000800 },
	{ 0x20e, 0xd0000006 },
	{ 0x20f, 0xfff0000800 },
	{ 0x250, UINT64_C(0x0606060606060600) }, /* the fixed ranges, */
	{ 0x259, UINT64_C(0x0000000000000001) },
	{ 0x26f, UINT64_C(0x0505050505050505) },
	{ 0x2ff, 0xc06 }, /* the default */
	{ 0x400, UINT64_MAX }, /* machine check: bank 0 and a later one */
	{ 0x402, 0x12345000 },
	{ 0x403, 0x86 },
	{ 0x426, UINT64_C(0xfedcba9876543000) },
};

/* MTRRs and machine-check banks are saved. */
static void test_unlisted_msrs(void **state)
{
	struct box first, second;
	struct saved s;
	uint64_t value;

	(void)state;
	box_init(&first);
	for (size_t i = 0; i < ARRAY_SIZE(unlisted); i++)
		if (msr_set(&first.cpus[1], unlisted[i].index,
			    unlisted[i].value) < 0)
			fail_msg("MSR 0x%x", unlisted[i].index);
	save(&first, &s);
	box_init(&second);
	assert_int_equal(load_part(&second, 2, s.w[2].data, s.w[2].len), 0);
	for (size_t i = 0; i < ARRAY_SIZE(unlisted); i++) {
		assert_int_equal(msr_get(&second.cpus[1], unlisted[i].index,
					 &value),
				 0);
		if (value != unlisted[i].value)
			fail_msg("MSR 0x%x is 0x%llx", unlisted[i].index,
				 (unsigned long long)value);
	}
	saved_finish(&s);
	box_finish(&second);
	box_finish(&first);
}

/* An MSR that KVM refuses gives a warning only if its value changes. */
static void test_refused_msr(void **state)
{
	struct capture c;
	struct saved s;
	struct box b;
	uint8_t *value;
	uint64_t banks;

	(void)state;
	box_init(&b);
	save(&b, &s);
	value = find_msr(&s.w[1], 0x201);
	assert_non_null(value);
	/* An invalid memory type. */
	put_le64(value - 12, 0xff);
	capture_begin(&c);
	assert_int_equal(load_part(&b, 1, s.w[1].data, s.w[1].len), 0);
	capture_one_line(
		&c, "refuses to load MSR 0x200: saved value 0xff, now 0x0");
	/* The number of banks is read-only. */
	assert_int_equal(msr_get(&b.cpus[0], MSR_MCG_CAP, &banks), 0);
	put_le64(value - 12, 0);
	put_le32(value - 4, MSR_MCG_CAP);
	put_le64(value, banks + 1);
	capture_begin(&c);
	assert_int_equal(load_part(&b, 1, s.w[1].data, s.w[1].len), 0);
	capture_one_line(&c, "refuses to load MSR 0x179");
	put_le64(value, banks);
	capture_begin(&c);
	assert_int_equal(load_part(&b, 1, s.w[1].data, s.w[1].len), 0);
	assert_int_equal(capture_end(&c), 0);
	saved_finish(&s);
	box_finish(&b);
}

/* Arms the timer of vCPU 0, which does not run, for TIMER_MS. */
static void arm_timer(struct box *b, bool deadline)
{
	int khz = kvm_ioctl(b->cpus[0].fd, KVM_GET_TSC_KHZ, NULL);
	struct kvm_lapic_state lapic = { 0 };
	uint64_t tsc;

	assert_true(kvm_call(b->cpus[0].fd, KVM_GET_LAPIC, &lapic) >= 0);
	put_le32(lapic.regs + LAPIC_SPURIOUS, LAPIC_ENABLE | 0xff);
	put_le32(lapic.regs + LAPIC_LVT_TIMER,
		 TIMER_VECTOR | (deadline ? LVT_TSC_DEADLINE : 0));
	put_le32(lapic.regs + LAPIC_TIMER_DIV, TIMER_DIVIDE_BY_1);
	if (!deadline) {
		/* KVM's LAPIC counts nanoseconds. */
		put_le32(lapic.regs + LAPIC_TIMER_INIT, TIMER_MS * 1000000);
		put_le32(lapic.regs + LAPIC_TIMER_COUNT, TIMER_MS * 1000000);
	}
	assert_true(kvm_call(b->cpus[0].fd, KVM_SET_LAPIC, &lapic) >= 0);
	if (!deadline)
		return;
	assert_int_equal(msr_get(&b->cpus[0], MSR_TSC, &tsc), 0);
	assert_int_equal(msr_set(&b->cpus[0], MSR_TSC_DEADLINE,
				 tsc + (uint64_t)khz * TIMER_MS),
			 0);
}

/* Whether the timer interrupt of vCPU 0 is pending. */
static bool timer_waits(struct box *b)
{
	struct kvm_lapic_state lapic;

	assert_true(kvm_call(b->cpus[0].fd, KVM_GET_LAPIC, &lapic) >= 0);
	return get_le32(lapic.regs + LAPIC_IRR + TIMER_VECTOR / 32 * 16) >>
		       TIMER_VECTOR % 32 &
	       1;
}

static void on_alarm(int signal)
{
	(void)signal;
}

/* Puts vCPU 0 at `jmp .' in real mode, interrupts off. */
static void set_code(struct box *b)
{
	static const uint8_t code[] = { 0xeb, 0xfe };
	struct kvm_regs regs = { .rip = 0x1000, .rflags = 2 };
	struct kvm_sregs sregs;

	assert_int_equal(memory_write(&b->m.memory, 0x1000, code, sizeof(code)),
			 0);
	assert_true(kvm_call(b->cpus[0].fd, KVM_GET_SREGS, &sregs) >= 0);
	sregs.cs.selector = 0;
	sregs.cs.base = 0;
	assert_true(kvm_call(b->cpus[0].fd, KVM_SET_SREGS, &sregs) >= 0);
	assert_true(kvm_call(b->cpus[0].fd, KVM_SET_REGS, &regs) >= 0);
}

/* Runs vCPU 0 until the timer interrupt is pending, with a limit. */
static bool timer_comes(struct box *b)
{
	const struct sigaction alarm = { .sa_handler = on_alarm };
	/* Repeated: a signal may arrive before KVM_RUN. */
	const struct itimerval often = { { 0, 5000 }, { 0, 5000 } };
	const struct itimerval never = { { 0, 0 }, { 0, 0 } };
	time_t end = time(NULL) + TIMER_PATIENCE_S;

	set_code(b);
	sigaction(SIGALRM, &alarm, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	while (!timer_waits(b) && time(NULL) < end)
		assert_int_equal(kvm_vcpu_run(&b->cpus[0]), -EINTR);
	setitimer(ITIMER_REAL, &never, NULL);
	return timer_waits(b);
}

/* Loads the state and starts the clocks, as a resume does. */
static void load_all(struct box *b, const struct saved *s)
{
	for (unsigned int i = 0; i < 1 + CPUS; i++)
		assert_int_equal(load_part(b, i, s->w[i].data, s->w[i].len), 0);
	assert_int_equal(arch_clocks_start(&b->m, false), 0);
}

/*
 * A timer that fired while its vCPU did not run: its interrupt is in neither
 * the IRR nor the count.  It must arrive after a restore: KVM arms a timer
 * without remaining time again.
 */
static void check_fired_timer(bool deadline)
{
	struct box first, second;
	struct saved s;

	box_init(&first);
	arm_timer(&first, deadline);
	usleep(2 * TIMER_MS * 1000);
	assert_int_equal(arch_clocks_stop(&first.m), 0);
	save(&first, &s);
	box_init(&second);
	load_all(&second, &s);
	assert_true(timer_comes(&second));
	/* The first machine has it too. */
	assert_int_equal(arch_clocks_start(&first.m, false), 0);
	assert_true(timer_comes(&first));
	saved_finish(&s);
	box_finish(&second);
	box_finish(&first);
}

/* A timer that fires between arch_clocks_stop() and the save. */
static void check_late_timer(bool deadline)
{
	struct box first, second;
	struct saved s;

	box_init(&first);
	arm_timer(&first, deadline);
	assert_int_equal(arch_clocks_stop(&first.m), 0);
	usleep(2 * TIMER_MS * 1000);
	save(&first, &s);
	box_init(&second);
	load_all(&second, &s);
	assert_true(timer_comes(&second));
	saved_finish(&s);
	box_finish(&second);
	box_finish(&first);
}

static void test_timers(void **state)
{
	(void)state;
	check_fired_timer(false);
	check_fired_timer(true);
	check_late_timer(false);
	check_late_timer(true);
}

/* The TSC continues, and is synchronised between vCPUs. */
/* A vCPU that runs faults on its page, and KVM counts it. */
static void test_fault_counts(void **state)
{
	const struct sigaction alarm = { .sa_handler = on_alarm };
	const struct itimerval often = { { 0, 5000 }, { 0, 5000 } };
	const struct itimerval never = { { 0, 0 }, { 0, 0 } };
	struct kvm_fault_counts before, after;
	struct kvm_fault_stats stats;
	struct box b;

	(void)state;
	box_init(&b);
	assert_int_equal(kvm_fault_stats_open(&stats, &b.cpus[0]), 0);
	assert_int_equal(kvm_fault_stats_read(&stats, &before), 0);
	set_code(&b);
	sigaction(SIGALRM, &alarm, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	assert_int_equal(kvm_vcpu_run(&b.cpus[0]), -EINTR);
	assert_int_equal(kvm_fault_stats_read(&stats, &after), 0);
	setitimer(ITIMER_REAL, &never, NULL);
	/* A KVM that is not the kernel's may count nothing. */
	assert_true(after.resolved > before.resolved ||
		    (!after.resolved && !after.unresolved));
	kvm_fault_stats_close(&stats);
	kvm_fault_stats_close(&stats);
	box_finish(&b);
}

static void test_tsc(void **state)
{
	struct box first, second;
	struct saved s;
	uint64_t before[CPUS], after[CPUS];

	(void)state;
	box_init(&first);
	for (unsigned int i = 0; i < CPUS; i++)
		assert_int_equal(msr_get(&first.cpus[i], MSR_TSC, &before[i]),
				 0);
	assert_int_equal(arch_clocks_stop(&first.m), 0);
	save(&first, &s);
	box_init(&second);
	load_all(&second, &s);
	for (unsigned int i = 0; i < CPUS; i++) {
		assert_int_equal(msr_get(&second.cpus[i], MSR_TSC, &after[i]),
				 0);
		assert_true(after[i] >= before[i]);
	}
	/* Read one after the other: a second would be a wrong offset. */
	assert_true(after[1] - after[0] < UINT64_C(1000000000));
	saved_finish(&s);
	box_finish(&second);
	box_finish(&first);
}

/* Every truncated state is refused. */
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

/* Bit flips: any result, no crash. */
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
		cmocka_unit_test(test_unlisted_msrs),
		cmocka_unit_test(test_refused_msr),
		cmocka_unit_test(test_timers),
		cmocka_unit_test(test_fault_counts),
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
