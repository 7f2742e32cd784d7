/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Constants shared by assembler, linker script and C: image address, GDT
 * selectors, vectors.
 */
#ifndef GUEST_X86_LAYOUT_H
#define GUEST_X86_LAYOUT_H

/*
 * The image starts at 1 MiB. A multiple of 64 KiB splits an address in the
 * first 64 KiB of the image into (address - IMAGE_BASE) and (IMAGE_BASE >> 16),
 * which relocations can express: so the IDT and the first TSS are static data.
 */
#define IMAGE_BASE 0x100000

#define SEL_KERNEL_CODE 0x08
#define SEL_KERNEL_DATA 0x10
#define SEL_CODE32	0x18
#define SEL_USER_DATA	0x23
#define SEL_USER_CODE	0x2b
/* First of the TSS descriptors, 16 bytes for each processor. */
#define SEL_TSS 0x30

/* Vectors: exceptions, then interrupts. */
#define VECTOR_IRQ_FIRST 0x20
#define VECTOR_SPURIOUS	 0x3f
#define VECTOR_COUNT	 0x40

#define TSS_BYTES	 104
#define CPUS_MAX	 255
#define STACK_BYTES	 8192
#define TRAP_STACK_BYTES 4096

/* Page below 1 MiB in which other processors start; a SIPI names it. */
#define TRAMPOLINE 0x8000

#endif
