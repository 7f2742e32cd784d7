/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Decompression of kernels: gzip and zstd files, and EFI zboot images, which
 * are PE programs with such a file as payload.  The output is a memory file,
 * limited by the guest's memory.
 *
 * zlib and zstd are optional; a build without one refuses its images by name.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch/arm64/image.h"
#include "vmm/boot/inflate.h"
#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"

/* zboot-header.S: "MZ", "zimg" at 4, payload at 8 and 12, compression at 24. */
#define ZBOOT_MAGIC	     UINT32_C(0x676d697a) /* "zimg" */
#define ZBOOT_MAGIC_AT	     4
#define ZBOOT_PAYLOAD_OFFSET 8
#define ZBOOT_PAYLOAD_BYTES  12
#define ZBOOT_KIND	     24
#define ZBOOT_KIND_BYTES     32

#define HEAD_BYTES ARM64_IMAGE_HEAD_BYTES

/* A compression format. */
struct format {
	const char *name; /* as in zboot */
	uint8_t magic[4];
	size_t magic_bytes; /* 0: zboot only */
	inflate_function *inflate; /* NULL: not in this build */
};

static const struct format formats[] = {
	{ "gzip", { 0x1f, 0x8b }, 2, INFLATE_GZIP }, /* RFC 1952, 2.3.1 */
	{ "zstd", { 0x28, 0xb5, 0x2f, 0xfd }, 4, INFLATE_ZSTD }, /* RFC 8878 */
	{ "lz4", { 0x02, 0x21, 0x4c, 0x18 }, 4, NULL },
	{ "lzo", { 0x89, 0x4c, 0x5a, 0x4f }, 4, NULL },
	{ "lzma", { 0x5d, 0, 0, 0 }, 3, NULL },
	{ "xzkern", { 0xfd, '7', 'z', 'X' }, 4, NULL },
	{ "bzip2", { 'B', 'Z', 'h' }, 3, NULL },
};

/* The format of a file by its magic; NULL: none. */
static const struct format *format_by_magic(const uint8_t *head)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		if (formats[i].magic_bytes != 0 &&
		    memcmp(head, formats[i].magic, formats[i].magic_bytes) == 0)
			return &formats[i];
	}
	return NULL;
}

/* The format by its zboot name; NULL: none. */
static const struct format *format_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		if (strcmp(name, formats[i].name) == 0)
			return &formats[i];
	}
	return NULL;
}

static bool is_zboot(const uint8_t *head)
{
	return head[0] == 'M' && head[1] == 'Z' &&
	       get_le32(head + ZBOOT_MAGIC_AT) == ZBOOT_MAGIC;
}

/* Locates the payload of a zboot image and its compression. */
static int zboot_payload(const struct image *image, const uint8_t *head,
			 const struct format **format, struct inflate_job *job)
{
	char kind[ZBOOT_KIND_BYTES + 1] = "";

	memcpy(kind, head + ZBOOT_KIND, ZBOOT_KIND_BYTES);
	for (char *c = kind; *c != '\0'; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
	job->offset = get_le32(head + ZBOOT_PAYLOAD_OFFSET);
	job->len_bytes = get_le32(head + ZBOOT_PAYLOAD_BYTES);
	if (!range_within(job->offset, job->len_bytes, image->size_bytes))
		return log_fail(ENODATA,
				"%s: truncated: EFI zboot payload ends at byte "
				"%llu, the file at byte %llu",
				image->name,
				(unsigned long long)(job->offset +
						     job->len_bytes),
				(unsigned long long)image->size_bytes);
	*format = format_by_name(kind);
	if (*format == NULL)
		return log_fail(
			ENOEXEC,
			"%s: EFI zboot compression \"%s\" is not supported",
			image->name, kind);
	return 0;
}

/* Decompresses into a new memory file. */
static int unpack(struct image *image, const struct format *format,
		  struct inflate_job *job)
{
	CLEANUP_CLOSE int fd = memfd_create("kernel", MFD_CLOEXEC);
	int err;

	if (fd < 0)
		return log_errno(errno, "%s: memfd_create", image->name);
	job->out_fd = fd;
	err = format->inflate(job);
	if (err != 0)
		return err;
	err = image_init(image, fd, image->name);
	return err != 0 ? err : take_fd(&fd);
}

int arm64_image_unpack(struct image *image, uint64_t limit_bytes)
{
	uint8_t head[HEAD_BYTES] = { 0 };
	size_t len = min_u64(sizeof(head), image->size_bytes);
	const struct format *format;
	struct inflate_job job = {
		.name = image->name,
		.in_fd = image->fd,
		.len_bytes = image->size_bytes,
		.limit_bytes = limit_bytes,
		.limit = "the guest's memory",
	};
	int err = image_read(image, 0, head, len);

	if (err != 0)
		return err;
	if (is_zboot(head)) {
		err = zboot_payload(image, head, &format, &job);
		if (err != 0)
			return err;
	} else {
		format = format_by_magic(head);
		if (format == NULL)
			return -EAGAIN;
	}
	if (format->inflate == NULL)
		return log_fail(ENOEXEC,
				"%s: %s compression is not supported by this "
				"build; give the uncompressed Image",
				image->name, format->name);
	return unpack(image, format, &job);
}
