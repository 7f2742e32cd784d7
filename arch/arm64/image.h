/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The arm64 Linux Image: its header, and an Image out of its wrappings.  The
 * formats are those of Documentation/arch/arm64/booting.rst (the 64-byte
 * header) and drivers/firmware/efi/libstub/zboot-header.S (EFI zboot).
 *
 * Everything in the file is hostile.  Knows no KVM; any one thread.
 */
#ifndef ARCH_ARM64_IMAGE_H
#define ARCH_ARM64_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/boot/image.h"

#define ARM64_IMAGE_HEAD_BYTES 64

/* The page size that a kernel was built for, from its header's flags. */
enum arm64_granule {
	ARM64_GRANULE_ANY,
	ARM64_GRANULE_4K,
	ARM64_GRANULE_16K,
	ARM64_GRANULE_64K,
};

/* What the header says, checked. */
struct arm64_image {
	uint64_t text_offset; /* from a 2 MiB boundary */
	uint64_t size_bytes; /* with its bss, from text_offset on */
	uint64_t file_bytes; /* of the file, what is to be loaded */
	enum arm64_granule granule;
};

/* Whether the bytes start an Image, whatever else is wrong with it. */
bool arm64_image_is(const uint8_t *head, size_t len);

/*
 * Reads and checks the header of @image.  -ENODATA for a file that is shorter
 * than it says, -ENOEXEC for a kernel that cannot run here, -EINVAL for a
 * header that makes no sense; one line each.
 */
int arm64_image_parse(const struct image *image, struct arm64_image *out);

/*
 * When @image is compressed (gzip, zstd, or an EFI zboot of these), unpacks it
 * into a memory file whose descriptor it returns, the caller's, and points
 * *@image at it; -EAGAIN, silent, when it is not compressed.  More than
 * @limit_bytes of output are refused (-EFBIG).  -ENOEXEC for a compression
 * that this build does not read, -EINVAL for damage, -ENODATA for truncation.
 */
int arm64_image_unpack(struct image *image, uint64_t limit_bytes);

#endif
