/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's kernel: finding the image file, and the release that names its
 * modules. One thread: set-up. The files are the user's; their contents are
 * checked.
 */
#ifndef VMM_EXEC_KERNEL_H
#define VMM_EXEC_KERNEL_H

#include "vmm/boot/image.h"
#include "vmm/boot/release.h"

/* Which kernel is booted. NULL in both: the release of the running kernel. */
struct kernel_choice {
	const char *file; /* -k */
	const char *version; /* --kernel-version; not with @file */
	/* In front of /boot and /lib/modules; NULL: none. */
	const char *prefix;
};

struct guest_kernel {
	struct image image; /* owned: guest_kernel_close(); name is @path */
	char *path;
	char release[KERNEL_RELEASE_BYTES]; /* "": not found in the image */
};

/*
 * Opens the kernel image: @choice->file, or for a version V the first of
 * /boot/vmlinuz-V and /lib/modules/V/vmlinuz that opens. -errno, logged with
 * all paths that were tried; -EINVAL for a version that is not a file name.
 */
int guest_kernel_open(struct guest_kernel *kernel,
		      const struct kernel_choice *choice);

/* Closes and frees; a zeroed struct, or one of a failed open, is fine. */
void guest_kernel_close(struct guest_kernel *kernel);

#endif
