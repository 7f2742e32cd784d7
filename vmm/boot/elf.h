/* SPDX-License-Identifier: BSD-2-Clause */
/* ELF64 kernels (System V ABI, chapters 4 and 5). The file is hostile input. */
#ifndef VMM_BOOT_ELF_H
#define VMM_BOOT_ELF_H

#include <stdint.h>

#include "vmm/boot/image.h"

struct elf_kernel {
	uint64_t entry; /* e_entry plus the distance */
	gpa_t lowest,
		highest; /* address range of the kernel, [lowest, highest) */
	/* From its note (XEN_ELFNOTE_PHYS32_ENTRY); 0: none. */
	uint32_t pvh_entry;
};

/*
 * Adds the PT_LOAD segments of an ELF64 file of @machine (EM_X86_64,
 * EM_AARCH64) to the plan at their physical addresses. A position-independent
 * file (ET_DYN) that is linked below the start of RAM is moved, all segments by
 * the same distance: its lowest address goes to @base, or to the next multiple
 * of its alignment. Relocations are not applied; such a program must relocate
 * itself, as a static-pie does under Linux.
 *
 * Logs the bad part of the file and returns -EINVAL (malformed), -ENODATA
 * (truncated), -ENOEXEC (another machine), -EFAULT (outside RAM), or -ERANGE
 * (segments overlap). The entry points are not checked.
 */
int elf_load(struct plan *plan, const struct memory *memory,
	     const struct image *image, uint16_t machine, gpa_t base,
	     struct elf_kernel *kernel);

#endif
