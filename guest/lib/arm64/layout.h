/* SPDX-License-Identifier: BSD-2-Clause */
/* Constants shared by assembler and C. */
#ifndef GUEST_ARM64_LAYOUT_H
#define GUEST_ARM64_LAYOUT_H

#define CPUS_MAX    255
#define STACK_BYTES 16384

/* struct trap_frame: x0 to x30, then elr, spsr, esr, far, sp. */
#define FRAME_BYTES 288

#endif
