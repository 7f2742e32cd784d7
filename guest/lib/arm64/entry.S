/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entry at EL1 with the MMU off: the Linux Image header and the first processor,
 * the entry of the others, and the exception vectors.
 *
 * The page table is static, one to one, and independent of the load address, so
 * nothing is written before the caches are on.
 */
#include "guest/lib/arm64/layout.h"

/* Documentation/arch/arm64/booting.rst of Linux, section 4. */
#define IMAGE_FLAGS 0xa /* little-endian, 4 KiB pages, anywhere */

	.section .text.header, "ax"
	.globl	image_start
image_start:
	b	first_cpu
	.long	0
	.quad	0 /* offset of the image from a 2 MiB boundary */
	.quad	image_end - image_start
	.quad	IMAGE_FLAGS
	.quad	0, 0, 0
	.ascii	"ARM\x64"
	.long	0

/*
 * System registers (Arm ARM, D17.2): 39 bits of address, so that the table
 * starts at level 1; attribute 0 is normal memory, write-back, 1 is a device.
 */
#define MAIR_VALUE 0x04ff
#define TCR_VALUE  0x00803519 /* EPD1, inner shareable, write-back, T0SZ 25 */
#define SCTLR_ON   0x30d01807 /* the ones that read as one; I, C, A off, M */

	.macro	CONST reg, value
	movz	\reg, #(\value) & 0xffff
	movk	\reg, #((\value) >> 16) & 0xffff, lsl #16
	.endm

/* Turns the MMU and the caches on; clobbers x1 to x3. */
	.text
mmu_on:
	adrp	x1, page_map
	msr	ttbr0_el1, x1
	CONST	x1, MAIR_VALUE
	msr	mair_el1, x1
	CONST	x1, TCR_VALUE
	mrs	x2, id_aa64mmfr0_el1
	and	x2, x2, #7
	bfi	x1, x2, #32, #3 /* as large as the processor's addresses */
	msr	tcr_el1, x1
	tlbi	vmalle1
	dsb	nsh
	isb
	CONST	x1, SCTLR_ON & ~2
	msr	sctlr_el1, x1
	isb
	adrp	x1, vectors
	add	x1, x1, :lo12:vectors
	msr	vbar_el1, x1
	mov	x1, #3 << 20 /* FPEN: vector registers do not trap */
	msr	cpacr_el1, x1
	isb
	ret

/* The first processor: x0 is the device tree. */
first_cpu:
	mov	x19, x0
	bl	mmu_on
	/* R_AARCH64_RELATIVE, the only kind there is: *(base + a) = base + c */
	adr	x1, image_start
	adrp	x2, rela_start
	add	x2, x2, :lo12:rela_start
	adrp	x3, rela_end
	add	x3, x3, :lo12:rela_end
1:	cmp	x2, x3
	b.hs	2f
	ldp	x4, x5, [x2]
	ldr	x6, [x2, #16]
	add	x2, x2, #24
	cmp	w5, #1027
	b.ne	1b
	add	x6, x6, x1
	str	x6, [x4, x1]
	b	1b
2:	adrp	x2, bss_start
	adrp	x3, bss_end
	add	x3, x3, :lo12:bss_end
3:	cmp	x2, x3
	b.hs	4f
	stp	xzr, xzr, [x2], #16
	b	3b
4:	adrp	x1, boot_stack_top
	add	x1, x1, :lo12:boot_stack_top
	mov	sp, x1
	mov	x29, xzr
	mov	x30, xzr
	mov	x0, x19
	b	arm64_first_cpu

/* Another processor, from PSCI: x0 is the top of its stack, its index there. */
	.globl	other_cpu
other_cpu:
	mov	x19, x0
	bl	mmu_on
	mov	sp, x19
	ldr	x0, [x19]
	mov	x29, xzr
	mov	x30, xzr
	b	arm64_other_cpu

/* Sixteen vectors of 128 bytes (Arm ARM, D1.3.2), all the same way. */
	.balign	2048
vectors:
	.set	vector, 0
	.rept	16
	.balign	128
	sub	sp, sp, #FRAME_BYTES
	stp	x0, x1, [sp]
	mov	x0, #vector
	b	trap_common
	.set	vector, vector + 1
	.endr

trap_common:
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x19, [sp, #144]
	stp	x20, x21, [sp, #160]
	stp	x22, x23, [sp, #176]
	stp	x24, x25, [sp, #192]
	stp	x26, x27, [sp, #208]
	stp	x28, x29, [sp, #224]
	mrs	x2, elr_el1
	stp	x30, x2, [sp, #240]
	mrs	x2, spsr_el1
	mrs	x3, esr_el1
	stp	x2, x3, [sp, #256]
	mrs	x2, far_el1
	add	x3, sp, #FRAME_BYTES
	stp	x2, x3, [sp, #272]
	mov	x1, sp
	bl	arm64_trap
	ldp	x30, x2, [sp, #240]
	msr	elr_el1, x2
	ldr	x2, [sp, #256]
	msr	spsr_el1, x2
	ldp	x28, x29, [sp, #224]
	ldp	x26, x27, [sp, #208]
	ldp	x24, x25, [sp, #192]
	ldp	x22, x23, [sp, #176]
	ldp	x20, x21, [sp, #160]
	ldp	x18, x19, [sp, #144]
	ldp	x16, x17, [sp, #128]
	ldp	x14, x15, [sp, #112]
	ldp	x12, x13, [sp, #96]
	ldp	x10, x11, [sp, #80]
	ldp	x8, x9, [sp, #64]
	ldp	x6, x7, [sp, #48]
	ldp	x4, x5, [sp, #32]
	ldp	x2, x3, [sp, #16]
	ldp	x0, x1, [sp]
	add	sp, sp, #FRAME_BYTES
	eret

/*
 * One to one in blocks of 1 GiB (Arm ARM, D8.3): devices below RAM at 1 GiB and
 * from 256 GiB on, memory between.  Access flag, inner shareable, valid.
 */
#define BLOCK_MEMORY 0x701
#define BLOCK_DEVICE 0x0060000000000405 /* never executed */

	.section .data.page_tables, "aw"
	.balign	4096
page_map:
	.quad	BLOCK_DEVICE
	.set	block, 1
	.rept	255
	.quad	(block << 30) + BLOCK_MEMORY
	.set	block, block + 1
	.endr
	.rept	256
	.quad	(block << 30) + BLOCK_DEVICE
	.set	block, block + 1
	.endr

	.section .stacks, "aw", %nobits
	.balign	16
	.skip	STACK_BYTES
boot_stack_top:

	.section .note.GNU-stack, "", %progbits
