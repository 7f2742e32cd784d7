/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loading of images, for both architectures: opening, reading and describing an
 * image file, and placing an initrd. One thread: set-up.
 */
#ifndef VMM_BOOT_IMAGE_H
#define VMM_BOOT_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/mem/plan.h"

/* Bytes of a file that image_describe() can use. */
#define IMAGE_HEAD_BYTES 4096

/* An image; the descriptor stays the caller's. */
struct image {
	int fd;
	uint64_t size_bytes;
	const char *name; /* for messages; not owned */
};

/*
 * Opens @path for reading as a kernel or initrd (@what, for messages) and
 * checks that it is a regular, non-empty file. The descriptor, or -errno,
 * logged: from open(2), -EISDIR, or -EINVAL.
 */
int image_open(const char *what, const char *path);

/* Fills *@image from an open regular file; the same checks and errors. */
int image_init(struct image *image, int fd, const char *name);

/*
 * Reads exactly @len bytes at @offset. -errno, logged; -ENODATA if the file is
 * truncated.
 */
int image_read(const struct image *image, uint64_t offset, void *to,
	       size_t len);

/*
 * Reads up to @room bytes from the start of the file into @head; returns their
 * number, or -errno, logged.
 */
int image_head(const struct image *image, uint8_t *head, size_t room);

/*
 * Describes a file that is not a kernel for this architecture, for error
 * messages: "an arm64 Image", "a gzip file", "a text file", "a PE/EFI image",
 * "an ELF file for AArch64"...; IMAGE_UNKNOWN if the format is unknown.
 */
#define IMAGE_UNKNOWN "not a kernel image"
const char *image_describe(const uint8_t *head, size_t len);

/*
 * Adds the initrd to the plan, at the highest page-aligned address in RAM that
 * is above @floor and ends below @limit (exclusive). -EFBIG, logged, if it does
 * not fit.
 */
int initrd_add(struct plan *plan, const struct memory *memory,
	       const struct image *initrd, gpa_t floor, gpa_t limit,
	       gpa_t *gpa);

#endif
