/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest routines, x86-64.  Arguments in rdi, rsi, rdx, rcx; the result in rax;
 * the end is an OUT, after which the next routine is set up from outside.
 * Each holds all its state in registers, so it goes on where it was stopped.
 */
#define PAGE 4096
#define LAST (PAGE - 8)

	.section .rodata
	.globl guest_code, guest_code_end, guest_load, guest_store, guest_call
	.globl guest_sweep, guest_write, guest_spin
	.globl guest_snippet, guest_snippet_end, guest_stale

guest_code:
guest_load:
	mov (%rdi), %rax
	jmp done

guest_store:
	mov %rsi, (%rdi)
	jmp done

guest_call:
	call *%rdi
	jmp done

guest_write:
	mov %rdx, (%rdi)
	mov %rdx, LAST(%rdi)
	inc %rdx
	add $PAGE, %rdi
	dec %rsi
	jnz guest_write
	jmp done

guest_sweep:
	xor %eax, %eax
1:	cmp %rdx, (%rdi)
	je 2f
	inc %rax
2:	cmp %rdx, LAST(%rdi)
	je 3f
	inc %rax
3:	inc %rdx
	add $PAGE, %rdi
	dec %rsi
	jnz 1b
	jmp done

guest_spin:
	xor %eax, %eax
1:	mov %rdi, %r8
	mov %rsi, %r9
	mov %rdx, %r10
2:	cmp %r10, (%r8)
	je 3f
	inc %rax
3:	cmp %r10, LAST(%r8)
	je 4f
	inc %rax
4:	inc %r10
	add $PAGE, %r8
	dec %r9
	jnz 2b
	cmpq $0, (%rcx)
	je 1b
	jmp done

done:
	out %al, $0x10
	jmp done
guest_code_end:

guest_snippet:
	mov $0x7a3b, %eax
	ret
guest_snippet_end:

/* What may stand, four bytes of it, where the snippet is not yet. */
guest_stale:
	ret
	ret
	ret
	ret

	.section .note.GNU-stack, "", @progbits
