/* SPDX-License-Identifier: BSD-2-Clause */
/* A sample arm64 Image with an EFI stub. */
#ifndef TESTS_UNIT_ARM64_IMAGE_SAMPLE_H
#define TESTS_UNIT_ARM64_IMAGE_SAMPLE_H

#include "arch/arm64/image.h"
#include "tests/unit/boot/helper.h"

#define SAMPLE_BYTES	  16384 /* of the file */
#define SAMPLE_SIZE	  UINT64_C(0x6000) /* including bss */
#define SAMPLE_PE	  0x40
#define SAMPLE_SECTIONS	  2
#define SAMPLE_SECTION_AT (SAMPLE_PE + 24 + 160)

/* Fills @b, of SAMPLE_BYTES. */
static inline void image_sample(uint8_t *b)
{
	uint8_t *section = b + SAMPLE_SECTION_AT;

	for (size_t i = 0; i < SAMPLE_BYTES; i++)
		b[i] = (uint8_t)(i * 31 ^ i >> 8);
	memset(b, 0, 4096);
	memcpy(b, "MZ", 2);
	put_le64(b + 8, 0);
	put_le64(b + 16, SAMPLE_SIZE);
	put_le64(b + 24, 0xa); /* little-endian, 4 KiB pages, anywhere */
	memcpy(b + 56, "ARM\x64", 4);
	put_le32(b + 60, SAMPLE_PE);
	memcpy(b + SAMPLE_PE, "PE\0\0", 4);
	put_le16(b + SAMPLE_PE + 6, SAMPLE_SECTIONS);
	put_le16(b + SAMPLE_PE + 20, 160);
	put_le32(section + 16, 4096);
	put_le32(section + 20, 4096);
	put_le32(section + 40 + 16, SAMPLE_BYTES - 8192);
	put_le32(section + 40 + 20, 8192);
}

#endif
