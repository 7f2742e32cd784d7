/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Linux boot protocol (Documentation/arch/x86/boot.rst): the setup header
 * of a bzImage, and the zero page (boot_params) of the 64-bit entry.
 *
 * The file is hostile.  One thread.
 */
#ifndef ARCH_X86_BZIMAGE_H
#define ARCH_X86_BZIMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/x86/e820.h"
#include "vmm/boot/image.h"

/* Offset of the setup header, in the file and in the zero page. */
#define SETUP_HEADER 0x1f1
/* Its maximum end: edd_mbr_sig_buffer follows. */
#define SETUP_HEADER_END 0x290

/* The checked header. */
struct bzimage {
	uint8_t header[SETUP_HEADER_END]; /* of the file, from its byte 0 */
	size_t header_end;
	uint64_t payload_offset, payload_bytes; /* in the file */
	uint64_t init_bytes; /* linear memory from the load address */
	gpa_t load_gpa;
	gpa_t initrd_limit; /* exclusive */
	uint64_t cmdline_max; /* without the terminating zero */
};

bool bzimage_detect(const uint8_t *head, size_t len);

/*
 * Reads and checks the header, and chooses a load address in the first region
 * of @memory.  One line and -EINVAL (malformed), -ENODATA (truncated), -ENOEXEC
 * (no 64-bit entry, too old), -EFBIG (larger than RAM).
 */
int bzimage_read(struct bzimage *bz, const struct image *image,
		 const struct memory *memory);

/* Adds the protected-mode kernel to the plan; errors of plan_add_file(). */
int bzimage_load(const struct bzimage *bz, const struct image *image,
		 struct plan *plan);

/* The 64-bit entry point of a loaded bzImage. */
uint64_t bzimage_entry(const struct bzimage *bz);

/* Contents of the zero page besides the header. */
struct zero_page {
	const struct bzimage *bz; /* NULL: an ELF kernel */
	const struct e820 *map;
	gpa_t cmdline_gpa;
	gpa_t initrd_gpa;
	uint64_t initrd_bytes; /* 0: none */
	gpa_t rsdp_gpa;
};

int zero_page_add(struct plan *plan, gpa_t gpa, const struct zero_page *zp);

#endif
