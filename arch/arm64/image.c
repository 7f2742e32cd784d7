/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The header of an arm64 Image, and the PE header of an Image with an EFI stub,
 * which gives the minimum length of the file.
 */
#include <errno.h>
#include <string.h>

#include "arch/arm64/image.h"
#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

/* The header's fields (booting.rst, "Call the kernel image"). */
#define HEAD_TEXT_OFFSET 8
#define HEAD_IMAGE_SIZE	 16
#define HEAD_FLAGS	 24
#define HEAD_MAGIC	 56
#define HEAD_PE_OFFSET	 60
#define MAGIC		 UINT32_C(0x644d5241) /* "ARM\x64" */
#define FLAG_BIG_ENDIAN	 UINT64_C(1)
#define FLAG_PAGE_SHIFT	 1
#define FLAG_PAGE_MASK	 3

/* Larger than in any known kernel. */
#define TEXT_OFFSET_MAX (2 * MIB)

/* PE/COFF: the file header and the section headers (PE format, 3.3 and 4). */
#define PE_MAGIC	    UINT32_C(0x00004550) /* "PE\0\0" */
#define PE_HEAD_BYTES	    24
#define PE_SECTIONS	    6 /* offset from the magic */
#define PE_OPTIONAL_BYTES   20
#define PE_SECTIONS_MAX	    96
#define SECTION_BYTES	    40
#define SECTION_RAW_BYTES   16
#define SECTION_RAW_POINTER 20

bool arm64_image_is(const uint8_t *head, size_t len)
{
	return len >= ARM64_IMAGE_HEAD_BYTES &&
	       get_le32(head + HEAD_MAGIC) == MAGIC;
}

/* Checks that the file contains section @n of the PE header. */
static int check_section(const struct image *image, uint64_t table,
			 unsigned int n)
{
	uint8_t section[SECTION_BYTES];
	int err = image_read(image, table + (uint64_t)n * SECTION_BYTES,
			     section, sizeof(section));
	uint64_t end;

	if (err != 0)
		return err;
	end = (uint64_t)get_le32(section + SECTION_RAW_POINTER) +
	      get_le32(section + SECTION_RAW_BYTES);
	if (end > image->size_bytes)
		return log_fail(ENODATA,
				"%s: truncated: section %u ends at byte %llu, "
				"the file at byte %llu",
				image->name, n, (unsigned long long)end,
				(unsigned long long)image->size_bytes);
	return 0;
}

/*
 * An Image with an EFI stub is also a PE file.  Only its section table shows
 * that the file is truncated.
 */
static int check_pe(const struct image *image, const uint8_t *head)
{
	uint64_t pe = get_le32(head + HEAD_PE_OFFSET);
	uint8_t coff[PE_HEAD_BYTES];
	unsigned int sections;
	uint64_t table;
	int err;

	if (head[0] != 'M' || head[1] != 'Z' || pe == 0)
		return 0;
	err = image_read(image, pe, coff, sizeof(coff));
	if (err != 0)
		return err;
	if (get_le32(coff) != PE_MAGIC)
		return log_fail(EINVAL, "%s: corrupt PE header", image->name);
	sections = get_le16(coff + PE_SECTIONS);
	if (sections > PE_SECTIONS_MAX)
		return log_fail(EINVAL, "%s: corrupt PE header: %u sections",
				image->name, sections);
	table = pe + PE_HEAD_BYTES + get_le16(coff + PE_OPTIONAL_BYTES);
	for (unsigned int i = 0; i < sections && err == 0; i++)
		err = check_section(image, table, i);
	return err;
}

/* Checks the fields of the header. */
static int check_head(const struct image *image, const uint8_t *head,
		      const struct arm64_image *out)
{
	if (get_le64(head + HEAD_FLAGS) & FLAG_BIG_ENDIAN)
		return log_fail(ENOEXEC,
				"%s: big-endian kernels are not supported",
				image->name);
	if (out->size_bytes == 0)
		return log_fail(ENOEXEC,
				"%s: no image size in the header: kernels "
				"before Linux 3.17 are not supported",
				image->name);
	if (out->text_offset >= TEXT_OFFSET_MAX ||
	    out->text_offset % PAGE_BYTES != 0)
		return log_fail(EINVAL,
				"%s: bad text offset %#llx in the header",
				image->name,
				(unsigned long long)out->text_offset);
	return 0;
}

/* Names the format of the file; for an unknown one, what an Image requires. */
static int refuse_other(const struct image *image, const uint8_t *head)
{
	const char *words = image_describe(head, ARM64_IMAGE_HEAD_BYTES);

	if (strcmp(words, IMAGE_UNKNOWN) != 0)
		return log_fail(ENOEXEC, "%s: %s, not an arm64 Image",
				image->name, words);
	return log_fail(
		ENOEXEC,
		"%s: not an arm64 Image: no 64-byte header (\"ARM\\x64\" at "
		"byte 56, image size at byte 16); give the ELF file instead",
		image->name);
}

int arm64_image_parse(const struct image *image, struct arm64_image *out)
{
	uint8_t head[ARM64_IMAGE_HEAD_BYTES];
	int err = image_read(image, 0, head, sizeof(head));

	if (err != 0)
		return err;
	if (!arm64_image_is(head, sizeof(head)))
		return refuse_other(image, head);
	*out = (struct arm64_image){
		.text_offset = get_le64(head + HEAD_TEXT_OFFSET),
		.size_bytes = get_le64(head + HEAD_IMAGE_SIZE),
		.granule = (enum arm64_granule)(get_le64(head + HEAD_FLAGS) >>
							FLAG_PAGE_SHIFT &
						FLAG_PAGE_MASK),
	};
	err = check_head(image, head, out);
	if (err != 0)
		return err;
	/* A signature may follow the image. */
	out->file_bytes = min_u64(image->size_bytes, out->size_bytes);
	return check_pe(image, head);
}
