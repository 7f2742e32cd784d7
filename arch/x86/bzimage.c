/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bzImage, and the zero page of the Linux 64-bit boot protocol.
 *
 * Main thread.  Offsets are from Documentation/arch/x86/boot.rst ("The
 * Real-Mode Kernel Header") and zero-page.rst.
 */
#include "arch/x86/bzimage.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "arch/x86/x86.h"
#include "vmm/base/log.h"

/* The setup header. */
#define H_SETUP_SECTS	   0x1f1
#define H_SYSSIZE	   0x1f4 /* in paragraphs of 16 bytes */
#define H_BOOT_FLAG	   0x1fe
#define H_JUMP_LENGTH	   0x201 /* the header ends at 0x202 + this */
#define H_MAGIC		   0x202
#define H_VERSION	   0x206
#define H_TYPE_OF_LOADER   0x210
#define H_LOADFLAGS	   0x211
#define H_RAMDISK_IMAGE	   0x218
#define H_RAMDISK_SIZE	   0x21c
#define H_CMD_LINE_PTR	   0x228
#define H_INITRD_ADDR_MAX  0x22c
#define H_KERNEL_ALIGNMENT 0x230
#define H_RELOCATABLE	   0x234
#define H_XLOADFLAGS	   0x236
#define H_CMDLINE_SIZE	   0x238
#define H_PREF_ADDRESS	   0x258
#define H_INIT_SIZE	   0x260
#define HEADER_END_2_12	   0x268

/* The zero page. */
#define Z_ACPI_RSDP_ADDR 0x070
#define Z_E820_ENTRIES	 0x1e8
#define Z_E820_TABLE	 0x2d0
#define Z_E820_BYTES	 20

#define BOOT_FLAG	  0xaa55
#define VERSION_2_12	  0x20c
#define LOADED_HIGH	  0x1
#define XLF_KERNEL_64	  0x1
#define LOADER_UNDEFINED  0xff
#define ENTRY_64	  0x200
#define DEFAULT_SETUP	  4 /* if setup_sects is 0 */
#define INIT_BYTES_MAX	  GIB
#define ALIGNMENT_DEFAULT UINT64_C(0x200000)

bool bzimage_detect(const uint8_t *head, size_t len)
{
	return len >= H_MAGIC + 4 &&
	       get_le16(head + H_BOOT_FLAG) == BOOT_FLAG &&
	       memcmp(head + H_MAGIC, "HdrS", 4) == 0;
}

/* Checks the header's length and version, and for a 64-bit entry. */
static int check_header(const struct bzimage *bz, const char *name)
{
	const uint8_t *h = bz->header;
	unsigned int version = get_le16(h + H_VERSION);

	if (version < VERSION_2_12)
		return log_fail(ENOEXEC,
				"%s: boot protocol %u.%02u is too old; 2.12 "
				"(Linux 3.8) or later is required",
				name, version >> 8, version & 0xff);
	if (bz->header_end < HEADER_END_2_12 ||
	    bz->header_end > SETUP_HEADER_END)
		return log_fail(EINVAL, "%s: bad setup header length", name);
	if (!(get_le16(h + H_XLOADFLAGS) & XLF_KERNEL_64))
		return log_fail(ENOEXEC, "%s: 32-bit kernels are not supported",
				name);
	if (!(h[H_LOADFLAGS] & LOADED_HIGH))
		return log_fail(ENOEXEC, "%s: zImage kernels are not supported",
				name);
	return 0;
}

/* Locates the protected-mode kernel in the file. */
static int find_payload(struct bzimage *bz, const struct image *image)
{
	unsigned int sectors = bz->header[H_SETUP_SECTS];

	bz->payload_offset =
		((sectors ? sectors : DEFAULT_SETUP) + 1) * UINT64_C(512);
	bz->payload_bytes = get_le32(bz->header + H_SYSSIZE) * UINT64_C(16);
	if (bz->payload_bytes <= ENTRY_64)
		return log_fail(EINVAL, "%s: empty kernel", image->name);
	if (bz->payload_offset >= image->size_bytes)
		return log_fail(ENODATA, "%s: truncated setup code",
				image->name);
	if (!range_within(bz->payload_offset, bz->payload_bytes,
			  image->size_bytes))
		return log_fail(ENODATA, "%s: truncated kernel", image->name);
	return 0;
}

/*
 * Load address: the preferred one, or for a relocatable kernel the lowest
 * aligned address above 1 MiB. The kernel needs init_size bytes from there.
 */
static int choose_address(struct bzimage *bz, const char *name,
			  const struct memory *memory)
{
	const uint8_t *h = bz->header;
	uint64_t end = memory->regions[0].size_bytes;
	uint64_t align = get_le32(h + H_KERNEL_ALIGNMENT);

	bz->init_bytes = max_u64(get_le32(h + H_INIT_SIZE), bz->payload_bytes);
	if (bz->init_bytes > INIT_BYTES_MAX)
		return log_fail(EINVAL, "%s: bad init_size: %" PRIu64 " MiB",
				name, bz->init_bytes / MIB);
	bz->load_gpa = get_le64(h + H_PREF_ADDRESS);
	if (bz->load_gpa >= X86_HIGH_RAM &&
	    range_within(bz->load_gpa, bz->init_bytes, end))
		return 0;
	if (!is_power_of_two(align) || align < PAGE_BYTES)
		align = ALIGNMENT_DEFAULT;
	if (h[H_RELOCATABLE])
		bz->load_gpa = align_up(X86_HIGH_RAM, align);
	if (bz->load_gpa < X86_HIGH_RAM)
		return log_fail(EINVAL, "%s: bad load address 0x%" PRIx64, name,
				bz->load_gpa);
	if (range_within(bz->load_gpa, bz->init_bytes, end))
		return 0;
	return log_fail(EFBIG,
			"%s: kernel needs %" PRIu64 " MiB at 0x%" PRIx64
			", the guest has %" PRIu64 " MiB of memory; see --mem",
			name, bz->init_bytes / MIB + 1, bz->load_gpa,
			memory->size_bytes / MIB);
}

int bzimage_read(struct bzimage *bz, const struct image *image,
		 const struct memory *memory)
{
	int n, err;

	memset(bz, 0, sizeof(*bz));
	n = image_head(image, bz->header, sizeof(bz->header));
	if (n < 0)
		return n;
	if (!bzimage_detect(bz->header, (size_t)n))
		return log_fail(EINVAL, "%s: not a bzImage", image->name);
	bz->header_end = H_MAGIC + (size_t)bz->header[H_JUMP_LENGTH];
	if (n < HEADER_END_2_12 ||
	    (size_t)n < min_u64(bz->header_end, SETUP_HEADER_END))
		return log_fail(ENODATA, "%s: truncated setup header",
				image->name);
	err = check_header(bz, image->name);
	if (!err)
		err = find_payload(bz, image);
	if (!err)
		err = choose_address(bz, image->name, memory);
	if (err)
		return err;
	bz->initrd_limit = (gpa_t)get_le32(bz->header + H_INITRD_ADDR_MAX) + 1;
	bz->cmdline_max = get_le32(bz->header + H_CMDLINE_SIZE);
	return 0;
}

int bzimage_load(const struct bzimage *bz, const struct image *image,
		 struct plan *plan)
{
	return plan_add_file(plan, "kernel", bz->load_gpa, bz->payload_bytes,
			     image->fd, bz->payload_offset);
}

uint64_t bzimage_entry(const struct bzimage *bz)
{
	return bz->load_gpa + ENTRY_64;
}

/* Fills in the setup header: the file's, or for ELF the required fields. */
static void put_header(uint8_t *z, const struct bzimage *bz)
{
	if (bz) {
		memcpy(z + SETUP_HEADER, bz->header + SETUP_HEADER,
		       bz->header_end - SETUP_HEADER);
	} else {
		put_le16(z + H_BOOT_FLAG, BOOT_FLAG);
		memcpy(z + H_MAGIC, "HdrS", 4);
		put_le16(z + H_VERSION, VERSION_2_12);
		put_le32(z + H_KERNEL_ALIGNMENT, (uint32_t)ALIGNMENT_DEFAULT);
		z[H_LOADFLAGS] = LOADED_HIGH;
	}
	z[H_TYPE_OF_LOADER] = LOADER_UNDEFINED;
}

int zero_page_add(struct plan *plan, gpa_t gpa, const struct zero_page *zp)
{
	uint8_t z[PAGE_BYTES] = { 0 };

	put_header(z, zp->bz);
	put_le32(z + H_CMD_LINE_PTR, (uint32_t)zp->cmdline_gpa);
	if (zp->initrd_bytes) {
		put_le32(z + H_RAMDISK_IMAGE, (uint32_t)zp->initrd_gpa);
		put_le32(z + H_RAMDISK_SIZE, (uint32_t)zp->initrd_bytes);
	}
	put_le64(z + Z_ACPI_RSDP_ADDR, zp->rsdp_gpa);
	z[Z_E820_ENTRIES] = (uint8_t)zp->map->count;
	for (size_t i = 0; i < zp->map->count; i++) {
		uint8_t *e = z + Z_E820_TABLE + i * Z_E820_BYTES;

		put_le64(e, zp->map->entries[i].gpa);
		put_le64(e + 8, zp->map->entries[i].size_bytes);
		put_le32(e + 16, zp->map->entries[i].type);
	}
	return plan_add_bytes(plan, "zero page", gpa, z, sizeof(z));
}
