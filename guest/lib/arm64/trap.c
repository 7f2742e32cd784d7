/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exceptions to EL1.  Interrupts call the handler; an unexpected exception
 * prints a report and crashes.
 */
#include "guest/lib/cpu.h"
#include "guest/lib/print.h"
#include "guest/lib/arm64/arm64.h"

/* As trap_common in entry.S saves it. */
struct trap_frame {
	uint64_t x[31];
	uint64_t elr, spsr, esr, far, sp;
};
_Static_assert(sizeof(struct trap_frame) == FRAME_BYTES, "entry.S counts");

#define VECTOR_IRQ 5 /* from EL1, SP_EL1 */

void arm64_trap(unsigned int vector, const struct trap_frame *frame);

static void (*irq_handler)(void);

void irq_handle(void (*fn)(void))
{
	irq_handler = fn;
}

void arm64_trap(unsigned int vector, const struct trap_frame *f)
{
	if (vector == VECTOR_IRQ && irq_handler) {
		irq_handler();
		return;
	}
	print_urgent("\nFAIL: exception %u esr 0x%lx at 0x%lx, far 0x%lx\n",
		     vector, f->esr, f->elr, f->far);
	for (unsigned int i = 0; i < 30; i += 3)
		print_urgent("x%-2u 0x%016lx  x%-2u 0x%016lx  x%-2u 0x%016lx\n",
			     i, f->x[i], i + 1, f->x[i + 1], i + 2,
			     f->x[i + 2]);
	print_urgent("x30 0x%016lx  sp  0x%016lx  spsr 0x%lx\n", f->x[30],
		     f->sp, f->spsr);
	crash();
}
