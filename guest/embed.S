/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The embedded guest as data.  GUEST_IMAGE is its path; if it is undefined, the
 * image is empty.
 */
	.section .rodata.thaw_guest, "a"
	.balign 16
	.globl thaw_guest_image, thaw_guest_image_end
thaw_guest_image:
#ifdef GUEST_IMAGE
	.incbin GUEST_IMAGE
#endif
thaw_guest_image_end:
	.section .note.GNU-stack, ""
