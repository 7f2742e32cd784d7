/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Image files: opening, reading, format detection, and placement of the initrd.
 *
 * Owns nothing: descriptors are the caller's. One thread, no lock. File
 * contents are hostile; every access is bounds-checked.
 */
#include "vmm/boot/image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"

/* Checks that @fd is a regular, non-empty file; stores its size. */
static int check_file(int fd, const char *what, const char *name,
		      uint64_t *size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return log_errno(errno, "%s%s: stat", what, name);
	if (S_ISDIR(st.st_mode))
		return log_fail(EISDIR, "%s%s: is a directory", what, name);
	if (!S_ISREG(st.st_mode))
		return log_fail(EINVAL, "%s%s: not a regular file", what, name);
	if (st.st_size <= 0)
		return log_fail(EINVAL, "%s%s: empty file", what, name);
	*size = (uint64_t)st.st_size;
	return 0;
}

/* O_NONBLOCK: opening a FIFO must not block before it is refused. */
int image_open(const char *what, const char *path)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char noun[32] = "";
	uint64_t size;
	int err;

	if (fd < 0)
		return log_errno(errno, "open %s %s", what, path);
	strncat(noun, what, sizeof(noun) - 2);
	strcat(noun, " ");
	err = check_file(fd, noun, path, &size);
	return err ? err : take_fd(&fd);
}

int image_init(struct image *image, int fd, const char *name)
{
	image->fd = fd;
	image->name = name;
	return check_file(fd, "", name, &image->size_bytes);
}

int image_read(const struct image *image, uint64_t offset, void *to, size_t len)
{
	uint8_t *p = to;
	ssize_t n;

	if (!range_within(offset, len, image->size_bytes))
		goto truncated;
	while (len) {
		n = pread(image->fd, p, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return log_errno(errno, "read %s", image->name);
		if (n == 0)
			goto truncated;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
truncated:
	return log_fail(ENODATA, "%s: truncated", image->name);
}

int image_head(const struct image *image, uint8_t *head, size_t room)
{
	size_t len = (size_t)min_u64(room, image->size_bytes);
	int err = image_read(image, 0, head, len);

	return err ? err : (int)len;
}

/* A format, identified by bytes at a fixed offset. */
struct magic {
	uint16_t offset;
	uint8_t len;
	const char *bytes;
	const char *description;
};

/*
 * First match wins. The compressed formats are those of the Linux build
 * (scripts/Makefile.lib); Image and bzImage are specified in
 * Documentation/arch/arm64/booting.rst and Documentation/arch/x86/boot.rst.
 */
static const struct magic magics[] = {
	{ 0x38, 4, "ARM\x64", "an arm64 Image" },
	{ 0x202, 4, "HdrS", "an x86 bzImage" },
	{ 4, 4, "zimg", "an EFI zboot image (a compressed kernel)" },
	{ 0, 2, "\x1f\x8b", "a gzip file" },
	{ 0, 6, "\xfd\x37zXZ\0", "an xz file" },
	{ 0, 3, "BZh", "a bzip2 file" },
	{ 0, 4, "\x28\xb5\x2f\xfd", "a zstd file" },
	{ 0, 4, "\x02\x21\x4c\x18", "an lz4 file" },
	{ 0, 4, "\x04\x22\x4d\x18", "an lz4 file" },
	{ 0, 4, "\x89LZO", "an lzo file" },
	{ 0, 3, "\x5d\0\0", "an lzma file" },
	{ 0, 4, "PK\x03\x04", "a zip file" },
	{ 0, 4, "\x27\x05\x19\x56", "a U-Boot uImage" },
	{ 0, 4, "\xd0\x0d\xfe\xed", "a device tree or FIT image" },
	{ 0, 5, "07070", "a cpio archive (an initrd?)" },
	{ 0, 7, "!<arch>", "an ar archive (a Debian package?)" },
	{ 0, 4, "\xed\xab\xee\xdb", "an RPM package" },
	{ 0, 4, "QFI\xfb", "a qcow2 disk image" },
	{ 257, 5, "ustar", "a tar archive" },
	{ 0, 2, "MZ", "a PE/EFI image" },
};

static bool magic_fits(const struct magic *m, const uint8_t *head, size_t len)
{
	return range_within(m->offset, m->len, len) &&
	       memcmp(head + m->offset, m->bytes, m->len) == 0;
}

/* Describes an ELF file by class, byte order and machine (System V ABI, 4). */
static const char *describe_elf(const uint8_t *head, size_t len)
{
	if (len < 20)
		return "a truncated ELF file";
	if (head[5] == 2)
		return "a big-endian ELF file";
	switch (get_le16(head + 18)) {
	case 3:
		return "an ELF file for i386";
	case 62:
		return head[4] == 2 ? "an ELF file for x86-64" :
				      "an ELF file for x32";
	case 40:
		return "an ELF file for 32-bit Arm";
	case 183:
		return "an ELF file for AArch64";
	case 243:
		return "an ELF file for RISC-V";
	default:
		return "an ELF file for another architecture";
	}
}

/* Whether @head could be text: no control characters except white space. */
static bool looks_like_text(const uint8_t *head, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((head[i] < 0x20 && !memchr("\t\n\r\f\x1b", head[i], 5)) ||
		    head[i] == 0x7f)
			return false;
	return len > 0;
}

const char *image_describe(const uint8_t *head, size_t len)
{
	size_t zeros = 0;

	if (len >= 4 && memcmp(head,
			       "\x7f"
			       "ELF",
			       4) == 0)
		return describe_elf(head, len);
	for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
		if (magic_fits(&magics[i], head, len))
			return magics[i].description;
	if (looks_like_text(head, len))
		return "a text file";
	while (zeros < len && head[zeros] == 0)
		zeros++;
	if (len && zeros == len)
		return "an all-zero file";
	return IMAGE_UNKNOWN;
}

/* Finds the highest free address in one region for @need bytes; false: none. */
static bool place_in_region(const struct memory_region *region, uint64_t need,
			    gpa_t floor, gpa_t limit, gpa_t *gpa)
{
	gpa_t bottom = align_up(max_u64(region->gpa, floor), PAGE_BYTES);
	gpa_t top = align_down(min_u64(region->gpa + region->size_bytes, limit),
			       PAGE_BYTES);

	if (bottom < floor || top < bottom || top - bottom < need)
		return false;
	*gpa = top - need;
	return true;
}

int initrd_add(struct plan *plan, const struct memory *memory,
	       const struct image *initrd, gpa_t floor, gpa_t limit, gpa_t *gpa)
{
	uint64_t need = align_up(initrd->size_bytes, PAGE_BYTES);

	for (unsigned int i = memory->region_count; i-- > 0 && need;)
		if (place_in_region(&memory->regions[i], need, floor, limit,
				    gpa))
			return plan_add_file(plan, "initrd", *gpa,
					     initrd->size_bytes, initrd->fd, 0);
	return log_fail(EFBIG,
			"initrd %s: %" PRIu64
			" KiB do not fit in guest memory; increase --mem",
			initrd->name, initrd->size_bytes / KIB);
}
