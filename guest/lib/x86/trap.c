/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Traps and interrupts, at CPL 0 on the processor's trap stack.  An unexpected
 * trap prints a report and crashes.
 */
#include <stddef.h>

#include "guest/lib/cpu.h"
#include "guest/lib/print.h"
#include "guest/lib/x86/x86.h"

/* The layout of trap_common in entry.S, lowest address first. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

void x86_trap(struct trap_frame *frame);

static void (*handlers[VECTOR_COUNT])(void);

void trap_handle(unsigned int vector, void (*fn)(void))
{
	handlers[vector] = fn;
}

void x86_trap(struct trap_frame *f)
{
	uint64_t cr2;

	if (handlers[f->vector]) {
		handlers[f->vector]();
		return;
	}
	__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
	print_urgent("\nFAIL: trap %lu error 0x%lx at 0x%lx, cr2 0x%lx\n",
		     f->vector, f->error, f->rip, cr2);
	print_urgent("rsp 0x%lx rflags 0x%lx rax 0x%lx rbx 0x%lx rcx 0x%lx\n",
		     f->rsp, f->rflags, f->rax, f->rbx, f->rcx);
	print_urgent("rdx 0x%lx rsi 0x%lx rdi 0x%lx rbp 0x%lx\n", f->rdx,
		     f->rsi, f->rdi, f->rbp);
	crash();
}

/* Loads an empty IDT: the next trap cannot be delivered. */
static uint64_t forget_traps(uint64_t arg)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) nothing = { 0, 0 };

	__asm__ volatile("lidt %0" ::"m"(nothing));
	return arg;
}

static bool at_ring0(void)
{
	uint16_t cs;

	__asm__("mov %%cs, %0" : "=r"(cs));
	return !(cs & 3);
}

void crash(void)
{
	if (at_ring0())
		forget_traps(0);
	else
		ring0(forget_traps, 0);
	for (;;)
		__asm__ volatile("ud2");
}
