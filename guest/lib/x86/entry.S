/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PVH entry of the first processor and the trampoline of the others, both
 * into 64-bit mode at CPL 3; then the traps.
 *
 * Code at CPL 0 is short: a KVM without hardware support interprets it, at about
 * a microsecond for an instruction, while CPL 3 runs at native speed.  So page
 * tables, GDT, IDT and TSS are static data, and C runs at CPL 3.  IOPL and the TSS
 * both allow all ports: such a KVM does not keep IOPL, and QEMU's emulation
 * ignores a busy TSS, which a restored guest has.  Interrupts are always enabled
 * at CPL 3; the local APIC masks them.  ring0() runs code at CPL 0.
 */
#include "guest/lib/x86/layout.h"

#define CR0_PE     0x00000001
#define CR0_LONG   0x80000033 /* PG, NE, ET, MP, PE */
#define CR4_LONG   0x00000620 /* OSXMMEXCPT, OSFXSR, PAE */
#define MSR_EFER   0xc0000080
#define EFER_LME   0x00000100
#define FLAGS_CPL3 0x00003202 /* IOPL 3, IF */

/* Interrupt masks of the two 8259 (Intel 231468, OCW1). */
#define PIC_MASK   0x21
#define PIC2_MASK  0xa1

/* XEN_ELFNOTE_PHYS32_ENTRY (Xen public/elfnote.h): where PVH starts. */
	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 8, 18
	.asciz "Xen"
	.quad pvh_entry

/*
 * The first processor, 32-bit protected mode, paging off, %ebx the start info
 * (Xen docs/misc/pvh.pandoc).
 */
	.section .text.entry, "ax", @progbits
	.code32
	.globl pvh_entry
pvh_entry:
	cli
	/* Firmware can leave the PC's timer on, at the vector of an exception. */
	movb	$0xff, %al
	outb	%al, $PIC_MASK
	outb	%al, $PIC2_MASK
	movl	$boot_stack_top, %esp
	movl	%ebx, %edi
	movl	$SEL_TSS, %esi
	movl	$first_cpu_main, %ebp
	jmp	enter_long_mode

/*
 * Any other processor, 32-bit protected mode.  cpu_mailbox says which stack, TSS
 * and number it gets; one processor at a time is here.
 */
ap_protected:
	movw	$SEL_KERNEL_DATA, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	cpu_mailbox, %esp
	movl	cpu_mailbox + 4, %esi
	movl	cpu_mailbox + 8, %edi
	movl	$other_cpu_main, %ebp

/* %esp: stack, %esi: TSS selector, %edi: argument, %ebp: where to go. */
enter_long_mode:
	movl	$CR4_LONG, %eax
	movl	%eax, %cr4
	movl	$page_map, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	movl	$CR0_LONG, %eax
	movl	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$SEL_KERNEL_CODE, $long_mode

	.code64
long_mode:
	ltr	%si
	lidt	idt_pointer
	movl	$SEL_USER_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%esp, %ecx
	movl	%ebp, %ebp
	pushq	$SEL_USER_DATA
	pushq	%rcx
	pushq	$FLAGS_CPL3
	pushq	$SEL_USER_CODE
	pushq	%rbp
	xorl	%ebp, %ebp
	iretq

/* CPL 3 from here; the ABI wants the stack as after a call. */
first_cpu_main:
	subq	$8, %rsp
	movl	%edi, %edi
	jmp	x86_first_cpu
other_cpu_main:
	subq	$8, %rsp
	movl	%edi, %edi
	jmp	x86_other_cpu

/*
 * The trampoline, copied to TRAMPOLINE: real mode with %cs there.
 */
	.section .rodata.trampoline, "a", @progbits
	.code16
	.globl trampoline_start, trampoline_end
trampoline_start:
	cli
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	trampoline_gdt - trampoline_start
	movl	$(CR0_PE | 0x10), %eax
	movl	%eax, %cr0
	ljmpl	$SEL_CODE32, $ap_protected
	.balign	4
trampoline_gdt:
	.word	SEL_TSS - 1
	.long	gdt
trampoline_end:
	.code64

/*
 * Traps.  A stub for each vector, 16 bytes apart, pushes what the hardware does
 * not: an error code of 0 where there is none, and the vector.
 */
	.section .text.traps, "ax", @progbits
	.balign 16
trap_stubs:
	.set	vector, 0
	.rept	VECTOR_COUNT
	.balign	16
	.if	vector == 6
	jmp	trap_undefined
	.endif
	/* 8, 10 to 14, 17, 21, 29 and 30 come with an error code (SDM 3A 6.15) */
	.if	((0x60227d00 >> vector) & 1) == 0
	pushq	$0
	.endif
	pushq	$vector
	jmp	trap_common
	.set	vector, vector + 1
	.endr

/* Saves struct trap_frame (x86/trap.c) and calls C, still at CPL 0. */
trap_common:
	pushq	%rax
	pushq	%rbx
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%rbp
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	cld
	movq	%rsp, %rdi
	call	x86_trap
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rbp
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%rbx
	popq	%rax
	addq	$16, %rsp
	iretq

/*
 * uint64_t ring0(fn, arg): calls fn(arg) at CPL 0.  The call is an undefined
 * instruction, because an interpreting KVM delivers that trap but not "int".
 */
	.globl	ring0
ring0:
ring0_call:
	ud2
	ret
trap_undefined:
	cmpq	$ring0_call, (%rsp)
	je	ring0_enter
	pushq	$0
	pushq	$6
	jmp	trap_common
ring0_enter:
	addq	$2, (%rsp) /* past ud2 */
	movq	%rdi, %rax
	movq	%rsi, %rdi
	pushq	%rbp
	call	*%rax
	popq	%rbp
	iretq

/* The descriptor tables, static: see IMAGE_BASE. */
	.section .data.tables, "aw", @progbits
	.balign	16
	.globl	gdt
gdt:
	.quad	0
	.quad	0x00af9b000000ffff /* 64-bit code, CPL 0 */
	.quad	0x00cf93000000ffff /* data, CPL 0 */
	.quad	0x00cf9b000000ffff /* 32-bit code, CPL 0 */
	.quad	0x00cff3000000ffff /* data, CPL 3 */
	.quad	0x00affb000000ffff /* 64-bit code, CPL 3 */
	.word	io_bitmap_end - tss - 1, tss - IMAGE_BASE
	.byte	IMAGE_BASE >> 16, 0x89, 0, 0
	.quad	0
	.fill	(CPUS_MAX - 1) * 2, 8, 0
gdt_end:

/*
 * One TSS a processor, of which x86/smp.c fills all but the first, and behind
 * them the I/O bitmap that they share: all ports are allowed (SDM 1, 19.5.2).
 */
	.balign	16
	.globl	tss, io_bitmap_end
tss:
	.long	0
	.quad	boot_trap_stack_top
	.fill	90, 1, 0
	.word	io_bitmap - tss
	.fill	(CPUS_MAX - 1) * TSS_BYTES, 1, 0
io_bitmap:
	.fill	8192, 1, 0
	.byte	0xff
io_bitmap_end:

	.balign	16
idt:
	.set	vector, 0
	.rept	VECTOR_COUNT
	.word	trap_stubs + vector * 16 - IMAGE_BASE, SEL_KERNEL_CODE
	.word	0x8e00, IMAGE_BASE >> 16 /* interrupt gate, CPL 0 */
	.long	0, 0
	.set	vector, vector + 1
	.endr
idt_end:

	.balign	4
gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt
	.long	0
	.balign	4
idt_pointer:
	.word	idt_end - idt - 1
	.quad	idt

/*
 * The first 4 GiB, one to one in pages of 2 MiB that CPL 3 may write: present,
 * writable, user, accessed, dirty, large.  x86/paging.c adds what lies above.
 */
	.section .data.page_tables, "aw", @progbits
	.balign	4096
	.globl	page_map, page_directory_pointers
page_map:
	.quad	page_directory_pointers + 7
	.fill	511, 8, 0
page_directory_pointers:
	.quad	page_directories + 0x0007
	.quad	page_directories + 0x1007
	.quad	page_directories + 0x2007
	.quad	page_directories + 0x3007
	.fill	508, 8, 0
page_directories:
	.set	page, 0
	.rept	2048
	.quad	(page << 21) + 0xe7
	.set	page, page + 1
	.endr

	.section .bss, "aw", @nobits
	.balign	16
boot_stack:
	.skip	STACK_BYTES
boot_stack_top:
	.skip	TRAP_STACK_BYTES
boot_trap_stack_top:

	.section .note.GNU-stack, "", @progbits
