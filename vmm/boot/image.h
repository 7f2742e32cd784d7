/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What both architectures load with: the opening of an image file, its head,
 * the words for formats that are not read, the placing of an initrd, and ELF.
 *
 * One thread: set-up.
 */
#ifndef VMM_BOOT_IMAGE_H
#define VMM_BOOT_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/mem/plan.h"

/* How much of a file image_describe() likes to see. */
#define IMAGE_HEAD_BYTES 4096

/* An image by its descriptor, which stays the caller's. */
struct image {
	int fd;
	uint64_t size_bytes;
	const char *name; /* for messages; not owned */
};

/*
 * Opens @path for reading as a kernel or initrd (@what, for messages) and
 * checks that it is a regular file with something in it; the descriptor, or
 * -errno with one line: of open(2), -EISDIR, -EINVAL (empty, not a file).
 */
int image_open(const char *what, const char *path);

/* Fills *@image from a descriptor of a file with something in it; as above. */
int image_init(struct image *image, int fd, const char *name);

/*
 * Reads exactly @len bytes at @offset.  -ENODATA, logged as "truncated", when
 * the file ends before; another -errno, logged, when it cannot be read.
 */
int image_read(const struct image *image, uint64_t offset, void *to,
	       size_t len);

/*
 * Reads up to @room bytes from the start of the file into @head; how many
 * there were, or -errno, logged.
 */
int image_head(const struct image *image, uint8_t *head, size_t room);

/*
 * What a file that is no kernel for this architecture looks like, in words for
 * an error line: "an arm64 Image", "a gzip file", "a text file", "a PE/EFI
 * image", "an ELF file for AArch64"...; IMAGE_UNKNOWN when nothing fits.
 */
#define IMAGE_UNKNOWN "not a kernel image"
const char *image_describe(const uint8_t *head, size_t len);

/*
 * Adds the initrd to the plan, as high as it fits below @limit (exclusive) in
 * RAM and above @floor, page-aligned.  -EFBIG with a line when it does not fit.
 */
int initrd_add(struct plan *plan, const struct memory *memory,
	       const struct image *initrd, gpa_t floor, gpa_t limit,
	       gpa_t *gpa);

#endif
