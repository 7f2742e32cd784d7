/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accesses by KVM on x86: clocks and steal time
 * (Documentation/virt/kvm/x86/msr.rst of Linux), and its instruction emulator.
 */
#include "guest/kvmtouch.h"
#include "guest/lib/check.h"
#include "guest/lib/cpu.h"
#include "guest/lib/pci.h"
#include "guest/lib/x86/x86.h"

#define KVM_FEATURES   0x40000001
#define HAS_CLOCK      (1u << 3)
#define HAS_STEAL_TIME (1u << 5)
#define HAS_PV_EOI     (1u << 6)

#define MSR_WALL_CLOCK	0x4b564d00
#define MSR_SYSTEM_TIME 0x4b564d01
#define MSR_STEAL_TIME	0x4b564d03
#define MSR_PV_EOI	0x4b564d04
#define MSR_ENABLE	1

#define SERIAL_SCRATCH 0x3ff
#define REG_INTX_LINE  0x3c

/* Whether KVM has a feature; prints a line if not. */
static bool have(const char *name, uint32_t feature)
{
	if (cpuid(KVM_FEATURES, 0).eax & feature)
		return true;
	check_skip("%s: not offered by KVM", name);
	return false;
}

/* struct pvclock_vcpu_time_info, 32 bytes. */
static void touch_clock(struct fresh_pages *pages, const char *name)
{
	volatile struct {
		uint32_t version, pad;
		uint64_t tsc, ns;
		uint32_t mul;
		int8_t shift;
		uint8_t flags, pad2[2];
	} * clock;
	struct fresh f;

	if (!have(name, HAS_CLOCK) || !fresh_take(pages, 4096, &f))
		return;
	clock = (void *)f.bytes;
	msr_write(MSR_SYSTEM_TIME, (uintptr_t)clock | MSR_ENABLE);
	check(fresh_rest(&f, 0, 32) && !(clock->version & 1) && clock->mul &&
		      clock->tsc <= cpu_counter(),
	      "%s: version %u, %lu ns", name, clock->version, clock->ns);
	msr_write(MSR_SYSTEM_TIME, 0);
}

/* struct pvclock_wall_clock, 12 bytes. */
static void touch_wall_clock(struct fresh_pages *pages, const char *name)
{
	volatile uint32_t *clock;
	struct fresh f;

	if (!have(name, HAS_CLOCK) || !fresh_take(pages, 4096, &f))
		return;
	clock = (void *)f.bytes;
	msr_write(MSR_WALL_CLOCK, (uintptr_t)clock);
	/* Fails if the host clock is before 2020. */
	check(fresh_rest(&f, 0, 12) && !(clock[0] & 1) && clock[1] > 1577836800,
	      "%s: started at %u s", name, clock[1]);
}

/* struct kvm_steal_time, of which 24 bytes are used. */
static void touch_steal_time(struct fresh_pages *pages, const char *name)
{
	volatile struct {
		uint64_t steal;
		uint32_t version, flags;
		uint8_t preempted, pad[7];
	} * steal;
	uint32_t before;
	struct fresh f;

	if (!have(name, HAS_STEAL_TIME) || !fresh_take(pages, 4096, &f))
		return;
	steal = (void *)f.bytes;
	before = fresh_byte(&f, 8);
	msr_write(MSR_STEAL_TIME, (uintptr_t)steal | MSR_ENABLE);
	check(fresh_rest(&f, 0, 24) && !(steal->version & 1) &&
		      (steal->version & 0xff) != before,
	      "%s: version %u, %lu ns", name, steal->version, steal->steal);
	msr_write(MSR_STEAL_TIME, 0);
}

#define APIC_EOI      0x0b0
#define APIC_SPURIOUS 0x0f0
#define APIC_ICR_LOW  0x300
#define APIC_ENABLE   0x100
#define ICR_TO_SELF   0x44000
#define VECTOR_TEST   0x30

/* Handler state: KVM's word, interrupts taken, interrupts without EOI. */
static struct {
	volatile uint32_t *word;
	volatile unsigned int taken, spared;
} eoi;

/*
 * CPL 0: EOI, by register only if KVM requires it.  The bit is tested and cleared
 * by one instruction, because KVM withdraws it at any exit: between two, the
 * guest would believe that KVM knows of an EOI that it still waits for.
 */
static void take_interrupt(void)
{
	bool spared;

	__asm__ volatile("btrl $0, %0" : "+m"(*eoi.word), "=@ccc"(spared));
	eoi.taken++;
	if (spared)
		eoi.spared++;
	else
		apic_write(APIC_EOI, 0);
}

/*
 * Sends itself interrupts.  Each must be taken before the next is sent, because
 * two pending ones of a vector are merged; on a busy host that takes seconds.
 * Gives up after half a minute or more.
 */
static void interrupt_self(unsigned int times)
{
	uint64_t start = cpu_counter();

	for (unsigned int i = 1; i <= times; i++) {
		apic_write(APIC_ICR_LOW, ICR_TO_SELF | VECTOR_TEST);
		while (eoi.taken < i) {
			if (cpu_counter() - start > 100000000000)
				return;
			cpu_relax();
		}
	}
}

static void touch_eoi(struct fresh_pages *pages, const char *name)
{
	struct fresh f;

	if (!have(name, HAS_PV_EOI))
		return;
	/* The word starts without the bit that KVM sets. */
	do {
		if (!fresh_take(pages, 4096, &f))
			return;
	} while (fresh_byte(&f, 0) & 1);
	eoi.word = (void *)f.bytes;
	trap_handle(VECTOR_TEST, take_interrupt);
	apic_write(APIC_SPURIOUS, APIC_ENABLE | VECTOR_SPURIOUS);
	msr_write(MSR_PV_EOI, (uintptr_t)eoi.word | MSR_ENABLE);
	interrupt_self(1000);
	check(eoi.taken == 1000 && fresh_rest(&f, 0, 1),
	      "%s: %u of %u interrupts without EOI", name, eoi.spared,
	      eoi.taken);
	msr_write(MSR_PV_EOI, 0);
	apic_write(APIC_SPURIOUS, VECTOR_SPURIOUS);
	trap_handle(VECTOR_TEST, NULL);
}

/* Page to port; the register holds the last byte. */
static void touch_outs(struct fresh_pages *pages, const char *name)
{
	const uint8_t *from;
	uint64_t count = 3;
	struct fresh f;

	if (!fresh_take(pages, 4096, &f))
		return;
	out8(SERIAL_SCRATCH, 0xa5);
	from = f.bytes + 0x123;
	__asm__ volatile("rep outsb"
			 : "+S"(from), "+c"(count)
			 : "d"((uint16_t)SERIAL_SCRATCH)
			 : "memory");
	check(in8(SERIAL_SCRATCH) == fresh_byte(&f, 0x125) &&
		      fresh_rest(&f, 0, 0),
	      "%s: port value 0x%x", name, in8(SERIAL_SCRATCH));
}

static void touch_ins(struct fresh_pages *pages, const char *name)
{
	uint64_t count = 3;
	uint8_t *to;
	struct fresh f;

	if (!fresh_take(pages, 4096, &f))
		return;
	out8(SERIAL_SCRATCH, 0x5a);
	to = f.bytes + 0x234;
	__asm__ volatile("rep insb"
			 : "+D"(to), "+c"(count)
			 : "d"((uint16_t)SERIAL_SCRATCH)
			 : "memory");
	check(f.bytes[0x234] == 0x5a && f.bytes[0x235] == 0x5a &&
		      f.bytes[0x236] == 0x5a && fresh_rest(&f, 0x234, 0x237),
	      "%s: three bytes of 0x%x", name, f.bytes[0x234]);
}

/* A byte of a device that keeps written values; NULL: none. */
static volatile uint8_t *find_register(const struct machine *machine)
{
	struct pci_function f = { 0 };

	while (pci_next(machine, &f)) {
		f.config[REG_INTX_LINE] = 0xa5;
		if (f.config[REG_INTX_LINE] == 0xa5)
			return f.config + REG_INTX_LINE;
	}
	return NULL;
}

/*
 * Copies a byte from @from to @to by an instruction with two memory operands.
 */
static void move_byte(volatile uint8_t *to, volatile uint8_t *from)
{
	__asm__ volatile("movsb" : "+S"(from), "+D"(to)::"memory");
}

static void touch_mmio_write(struct fresh_pages *pages, const char *name)
{
	volatile uint8_t *reg = find_register(pages->machine);
	struct fresh f;

	if (!reg) {
		check_skip("%s: no suitable device register", name);
		return;
	}
	if (!fresh_take(pages, 4096, &f))
		return;
	move_byte(reg, f.bytes + 0x345);
	check(*reg == fresh_byte(&f, 0x345) && fresh_rest(&f, 0, 0),
	      "%s: device value 0x%x", name, *reg);
}

static void touch_mmio_read(struct fresh_pages *pages, const char *name)
{
	volatile uint8_t *reg = find_register(pages->machine);
	struct fresh f;

	if (!reg) {
		check_skip("%s: no suitable device register", name);
		return;
	}
	if (!fresh_take(pages, 4096, &f))
		return;
	*reg = 0x3c;
	move_byte(f.bytes + 0x456, reg);
	check(f.bytes[0x456] == 0x3c && fresh_rest(&f, 0x456, 0x457),
	      "%s: page value 0x%x", name, f.bytes[0x456]);
}

/* Pushes a device register on an untouched stack. */
static void touch_stack(struct fresh_pages *pages, const char *name)
{
	uint64_t kept, ecam = pages->machine->ecam;
	struct fresh f;
	uint16_t got;

	if (!ecam) {
		check_skip("%s: no PCI", name);
		return;
	}
	if (!fresh_take(pages, 4096, &f))
		return;
	__asm__ volatile("mov %%rsp, %0\n\t"
			 "mov %1, %%rsp\n\t"
			 "pushw (%2)\n\t"
			 "mov %0, %%rsp"
			 : "=&r"(kept)
			 : "r"(f.bytes + 0x802), "r"(ecam)
			 : "memory");
	got = (uint16_t)(f.bytes[0x800] | f.bytes[0x801] << 8);
	check(got == *(volatile uint16_t *)phys(ecam) &&
		      fresh_rest(&f, 0x800, 0x802),
	      "%s: stack value 0x%x", name, got);
}

/*
 * An untouched page directory, for addresses from 300 GiB: the page walk finds
 * no entry, and the trap handler maps the first 2 MiB.
 */
#define WALK_GIB    300
#define ENTRY_TABLE 0x07
#define ENTRY_LARGE 0xe7

static struct {
	volatile uint64_t *directory;
	volatile unsigned int traps;
} walk;

extern uint64_t page_directory_pointers[512];

static void take_page_fault(void)
{
	walk.traps++;
	walk.directory[0] = ENTRY_LARGE;
}

static void touch_page_table(struct fresh_pages *pages, const char *name)
{
	volatile uint32_t *there =
		phys(((uint64_t)WALK_GIB << 30) + IMAGE_BASE);
	struct fresh f;
	uint32_t got;

	if (pages->is_signed) {
		check_skip("%s: needs a zero page", name);
		return;
	}
	if (!fresh_take(pages, 4096, &f))
		return;
	walk.directory = (volatile uint64_t *)f.bytes;
	trap_handle(14, take_page_fault);
	page_directory_pointers[WALK_GIB] = (uintptr_t)f.bytes | ENTRY_TABLE;
	got = *there;
	trap_handle(14, NULL);
	check(walk.traps == 1 && got == *(uint32_t *)phys(IMAGE_BASE) &&
		      fresh_rest(&f, 0, 8),
	      "%s: %u page fault", name, walk.traps);
}

const struct kvm_touch *kvm_touches(size_t *count)
{
	static const struct kvm_touch touches[] = {
		{ "system time", touch_clock },
		{ "wall clock", touch_wall_clock },
		{ "steal time", touch_steal_time },
		{ "PV EOI", touch_eoi },
		{ "string output", touch_outs },
		{ "string input", touch_ins },
		{ "memory to device", touch_mmio_write },
		{ "device to memory", touch_mmio_read },
		{ "device to stack", touch_stack },
		{ "page table", touch_page_table },
	};

	*count = sizeof(touches) / sizeof(touches[0]);
	return touches;
}
