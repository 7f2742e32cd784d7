/* SPDX-License-Identifier: BSD-2-Clause */
/* The release of a kernel: the banner of the uncompressed Image. */
#include <errno.h>

#include "arch/arm64/image.h"
#include "vmm/arch.h"
#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"

/* Several times as large as any kernel. */
#define UNPACKED_MAX GIB

int arch_kernel_release(const struct image *image,
			char release[KERNEL_RELEASE_BYTES])
{
	struct image plain = *image;
	CLEANUP_CLOSE int fd = arm64_image_unpack(&plain, UNPACKED_MAX);

	release[0] = '\0';
	if (fd < 0 && fd != -EAGAIN)
		return fd;
	return image_release(&plain, release);
}
