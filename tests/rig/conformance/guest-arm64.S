/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest routines, arm64.  Arguments in x0 to x3; the result is stored to the
 * address in x28, where no memory is, after which the next routine is set up
 * from outside.  Each holds all its state in registers, so it goes on where it
 * was stopped.
 */
#define PAGE 4096
#define LAST (PAGE - 8)

	.section .rodata
	.balign 8
	.globl guest_code, guest_code_end, guest_load, guest_store, guest_call
	.globl guest_sweep, guest_write, guest_spin
	.globl guest_snippet, guest_snippet_end, guest_stale

guest_code:
guest_load:
	ldr x0, [x0]
	b done

guest_store:
	str x1, [x0]
	b done

guest_call:
	blr x0
	b done

guest_write:
	str x2, [x0]
	str x2, [x0, #LAST]
	add x2, x2, #1
	add x0, x0, #PAGE
	subs x1, x1, #1
	b.ne guest_write
	b done

guest_sweep:
	mov x8, #0
1:	ldr x9, [x0]
	cmp x9, x2
	cinc x8, x8, ne
	ldr x9, [x0, #LAST]
	cmp x9, x2
	cinc x8, x8, ne
	add x2, x2, #1
	add x0, x0, #PAGE
	subs x1, x1, #1
	b.ne 1b
	mov x0, x8
	b done

guest_spin:
	mov x8, #0
1:	mov x10, x0
	mov x11, x1
	mov x12, x2
2:	ldr x9, [x10]
	cmp x9, x12
	cinc x8, x8, ne
	ldr x9, [x10, #LAST]
	cmp x9, x12
	cinc x8, x8, ne
	add x12, x12, #1
	add x10, x10, #PAGE
	subs x11, x11, #1
	b.ne 2b
	ldr x9, [x3]
	cbz x9, 1b
	mov x0, x8
	b done

done:
	str x0, [x28]
	b done
guest_code_end:

	.balign 8
guest_snippet:
	movz w0, #0x7a3b
	ret
guest_snippet_end:

/* What may stand, four bytes of it, where the snippet is not yet. */
guest_stale:
	ret

	.section .note.GNU-stack, "", %progbits
