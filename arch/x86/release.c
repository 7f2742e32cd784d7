/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The release of a kernel: the text that kernel_version of the setup header
 * points at (Documentation/arch/x86/boot.rst), as the kernel in a bzImage is
 * compressed; the banner of an ELF file.
 */
#include "arch/x86/bzimage.h"
#include "vmm/arch.h"
#include "vmm/base/bytes.h"

#define H_KERNEL_VERSION 0x20e /* from byte 0x200 of the file; 0: none */
#define TEXT_BASE	 0x200

int arch_kernel_release(const struct image *image,
			char release[KERNEL_RELEASE_BYTES])
{
	uint8_t head[SETUP_HEADER_END];
	char text[KERNEL_RELEASE_BYTES];
	int n = image_head(image, head, sizeof(head));
	uint64_t at, len;
	int err;

	release[0] = '\0';
	if (n < 0)
		return n;
	if (!bzimage_detect(head, (size_t)n))
		return image_release(image, release);
	at = get_le16(head + H_KERNEL_VERSION);
	if (at == 0 || at + TEXT_BASE >= image->size_bytes)
		return 0;
	len = min_u64(sizeof(text), image->size_bytes - at - TEXT_BASE);
	err = image_read(image, at + TEXT_BASE, text, len);
	if (err == 0)
		release_parse(text, len, release);
	return err;
}
