/* SPDX-License-Identifier: BSD-2-Clause */
/* The embedded guest image, built and embedded by guest/. */
#include "vmm/arch.h"

extern const unsigned char thaw_guest_image[], thaw_guest_image_end[];

const uint8_t *arch_embedded_guest(size_t *len_bytes)
{
	*len_bytes = (size_t)(thaw_guest_image_end - thaw_guest_image);
	return thaw_guest_image;
}
