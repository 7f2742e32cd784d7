/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The arm64 Linux Image: header and decompression.  Formats:
 * Documentation/arch/arm64/booting.rst (the 64-byte header) and
 * drivers/firmware/efi/libstub/zboot-header.S (EFI zboot).
 *
 * The file is hostile.  Does not call KVM; any one thread.
 */
#ifndef ARCH_ARM64_IMAGE_H
#define ARCH_ARM64_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/boot/image.h"

#define ARM64_IMAGE_HEAD_BYTES 64

/* The page size of a kernel, from the flags in its header. */
enum arm64_granule {
	ARM64_GRANULE_ANY,
	ARM64_GRANULE_4K,
	ARM64_GRANULE_16K,
	ARM64_GRANULE_64K,
};

/* The checked header. */
struct arm64_image {
	uint64_t text_offset; /* from a 2 MiB boundary */
	uint64_t size_bytes; /* including bss, from text_offset */
	uint64_t file_bytes; /* number of bytes to load from the file */
	enum arm64_granule granule;
};

/* Whether @head has the magic of an Image. */
bool arm64_image_is(const uint8_t *head, size_t len);

/*
 * Reads and checks the header of @image. -ENODATA: truncated; -ENOEXEC: an
 * unsupported kernel; -EINVAL: malformed.  One line each.
 */
int arm64_image_parse(const struct image *image, struct arm64_image *out);

/*
 * Decompresses @image (gzip, zstd, or an EFI zboot of these) into a memory
 * file, points *@image at it, and returns its descriptor, which the caller
 * owns. -EAGAIN, silent, if @image is not compressed. -EFBIG: more than
 * @limit_bytes of output; -ENOEXEC: compression not supported by this build;
 * -EINVAL: corrupt; -ENODATA: truncated.
 */
int arm64_image_unpack(struct image *image, uint64_t limit_bytes);

#endif
