/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The release of a Linux kernel image (as of uname -r), which names the
 * directory of its modules. One thread: set-up. The image is hostile.
 */
#ifndef VMM_BOOT_RELEASE_H
#define VMM_BOOT_RELEASE_H

#include <stdbool.h>
#include <stddef.h>

/* With the zero: the limit of utsname (linux/utsname.h). */
#define KERNEL_RELEASE_BYTES 65

struct image;

/*
 * Searches an uncompressed kernel for the text of its banner, "Linux version
 * RELEASE ". @release is "" if there is none. 0, or -errno of a read, logged.
 */
int image_release(const struct image *image,
		  char release[KERNEL_RELEASE_BYTES]);

/*
 * Stores the release at the start of @text, up to a space. False, and "", unless
 * it begins with a digit, is a file name, and ends within @len bytes.
 */
bool release_parse(const char *text, size_t len,
		   char release[KERNEL_RELEASE_BYTES]);

#endif
