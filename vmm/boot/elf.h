/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ELF64 kernels (System V ABI, chapters 4 and 5): program headers into the
 * plan, notes on request.  Everything in the file is hostile.
 */
#ifndef VMM_BOOT_ELF_H
#define VMM_BOOT_ELF_H

#include <stdint.h>

#include "vmm/boot/image.h"

struct elf_kernel {
	uint64_t entry; /* e_entry, where it was placed */
	gpa_t lowest, highest; /* [lowest, highest) holds all of it */
	/* As in its note (XEN_ELFNOTE_PHYS32_ENTRY); 0 when there is none. */
	uint32_t pvh_entry;
};

/*
 * Adds the PT_LOAD segments of an ELF64 file of @machine (EM_X86_64, EM_AARCH64)
 * to the plan at their physical addresses.  A position-independent file (ET_DYN)
 * that is linked below the first byte of RAM is moved, all segments by the same
 * distance: its lowest address goes to @base, or to the next multiple of its
 * alignment.  Relocations are not applied; such a program applies its own, as
 * under Linux a static one does.  One line with the part of the file
 * that is bad, and -EINVAL (makes no sense), -ENODATA (truncated), -ENOEXEC
 * (for another machine), -EFAULT (outside RAM), -ERANGE (segments overlap).
 * The entries are not checked.
 */
int elf_load(struct plan *plan, const struct memory *memory,
	     const struct image *image, uint16_t machine, gpa_t base,
	     struct elf_kernel *kernel);

#endif
