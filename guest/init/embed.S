/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The init as data.  INIT_PROGRAM is its path; if it is undefined, there is no
 * init.
 */
	.section .rodata.thaw_init, "a"
	.balign 16
	.globl thaw_init_program, thaw_init_program_end
thaw_init_program:
#ifdef INIT_PROGRAM
	.incbin INIT_PROGRAM
#endif
thaw_init_program_end:
	.section .note.GNU-stack, ""
