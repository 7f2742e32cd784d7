/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starts processors: INIT and STARTUP through the local APIC's registers (SDM
 * 3A, 9.4.4.1 and 11.6), mapped for CPL 3.
 */
#include "guest/lib/cpu.h"
#include "guest/lib/smp.h"
#include "guest/lib/string.h"
#include "guest/lib/x86/x86.h"

#define APIC_ICR_LOW 0x300
#define APIC_ICR_HI  0x310
#define ICR_INIT     0x4500
#define ICR_STARTUP  0x4600
#define ICR_PENDING  0x1000

#define IO_BITMAP_BYTES 8192

/* SDM 3A, 8.7 */
struct tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint8_t unused[74];
	uint16_t io_map;
} __attribute__((packed));

extern uint64_t gdt[];
extern struct tss tss[CPUS_MAX];
extern const char io_bitmap_end[];
extern const char trampoline_start[], trampoline_end[];

/* Arguments of ap_protected in entry.S: stack, TSS selector, index. */
struct {
	uint32_t stack, tss, index;
} cpu_mailbox;

static struct {
	uint8_t stack[STACK_BYTES], trap_stack[TRAP_STACK_BYTES];
} stacks[CPUS_MAX] __attribute__((aligned(16)));

void x86_other_cpu(unsigned int cpu);

void x86_other_cpu(unsigned int cpu)
{
	smp_loop(cpu);
}

/* Sets up the TSS of processor @index and its descriptor. */
static void make_tss(unsigned int index)
{
	uint64_t base = (uintptr_t)&tss[index];
	uint64_t limit = (uintptr_t)io_bitmap_end - base - 1;
	uint64_t *descriptor = gdt + SEL_TSS / 8 + 2 * index;

	tss[index].rsp[0] =
		(uintptr_t)stacks[index].trap_stack + TRAP_STACK_BYTES;
	tss[index].io_map = (uint16_t)(limit - IO_BITMAP_BYTES);
	descriptor[0] = 0x0000890000000000 | limit | (base & 0xffffff) << 16 |
			(base >> 24 & 0xff) << 56;
	descriptor[1] = base >> 32;
}

/* Sends an IPI and waits for its delivery. */
static void send_ipi(uint32_t to, uint32_t what)
{
	apic_write(APIC_ICR_HI, to << 24);
	apic_write(APIC_ICR_LOW, what);
	while (apic_read(APIC_ICR_LOW) & ICR_PENDING)
		cpu_relax();
}

void cpu_start(const struct machine *machine, unsigned int index)
{
	uint32_t id = (uint32_t)machine->cpu_hwid[index];

	memcpy(phys(TRAMPOLINE), trampoline_start,
	       (size_t)(trampoline_end - trampoline_start));
	make_tss(index);
	cpu_mailbox.stack =
		(uint32_t)(uintptr_t)stacks[index].stack + STACK_BYTES;
	cpu_mailbox.tss = SEL_TSS + 16 * index;
	cpu_mailbox.index = index;
	send_ipi(id, ICR_INIT);
	/* Some hardware loses the first STARTUP; a second is harmless. */
	send_ipi(id, ICR_STARTUP | TRAMPOLINE >> 12);
	send_ipi(id, ICR_STARTUP | TRAMPOLINE >> 12);
}
