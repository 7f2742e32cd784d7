/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ELF64 executables: adds the program headers to the plan, and finds the PVH
 * note.
 *
 * Owns nothing. One thread, no lock. Order: the header, then the bounds of the
 * table, then the bounds of each entry, then its contents; counts beyond those
 * of any kernel are refused before they are used.
 *
 * Every segment is placed at its physical address plus one distance, which is
 * zero except for a position-independent file that is linked below RAM.
 *
 * Offsets are from the System V ABI, chapter 4 (ELF header) and 5 (program
 * header). Fields are read one by one, independent of alignment and padding.
 */
#include "vmm/boot/elf.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"

#define EHDR_BYTES 64
#define PHDR_BYTES 56
#define E_TYPE	   16
/* Limit; Linux has 5. */
#define PHDRS_MAX 64
/* Limit; Linux has about 500 bytes of notes. */
#define NOTES_BYTES_MAX (64 * KIB)

/* Xen, public/elfnote.h: address of the 32-bit PVH entry. */
#define XEN_ELFNOTE_PHYS32_ENTRY 18

/* Limit of a segment's alignment. */
#define ALIGN_MAX GIB

/* One program header. */
struct phdr {
	uint32_t type;
	uint64_t offset, paddr, filesz, memsz, align;
};

/* The program header table, and the distance by which segments are moved up. */
struct segments {
	uint8_t table[PHDRS_MAX * PHDR_BYTES];
	unsigned int count;
	uint64_t distance;
};

/* Decodes the program header at @b. */
static struct phdr phdr_decode(const uint8_t *b)
{
	return (struct phdr){
		.type = get_le32(b),
		.offset = get_le64(b + 8),
		.paddr = get_le64(b + 24),
		.filesz = get_le64(b + 32),
		.memsz = get_le64(b + 40),
		.align = get_le64(b + 48),
	};
}

/* Reads the ELF header and checks class, machine and type. */
static int read_header(const struct image *image, uint16_t machine,
		       uint8_t ehdr[EHDR_BYTES])
{
	const char *name = image->name;
	int n = image_head(image, ehdr, EHDR_BYTES);

	if (n < 0)
		return n;
	if (n < 4 || memcmp(ehdr, ELFMAG, SELFMAG) != 0)
		return log_fail(EINVAL, "%s: not an ELF file", name);
	if (n < EHDR_BYTES)
		return log_fail(ENODATA, "%s: truncated ELF header", name);
	if (ehdr[EI_CLASS] != ELFCLASS64 || ehdr[EI_DATA] != ELFDATA2LSB ||
	    get_le16(ehdr + 18) != machine)
		return log_fail(ENOEXEC,
				"%s: %s, not supported on this architecture",
				name, image_describe(ehdr, EHDR_BYTES));
	if (ehdr[EI_VERSION] != EV_CURRENT)
		return log_fail(EINVAL, "%s: unsupported ELF version %u", name,
				ehdr[EI_VERSION]);
	switch (get_le16(ehdr + E_TYPE)) {
	case ET_EXEC:
	case ET_DYN:
		return 0;
	default:
		return log_fail(EINVAL, "%s: ELF file is not an executable",
				name);
	}
}

/* Reads the program header table described by @ehdr. */
static int read_table(const struct image *image, const uint8_t *ehdr,
		      struct segments *s)
{
	uint64_t offset = get_le64(ehdr + 32);
	unsigned int count = get_le16(ehdr + 56);

	if (count == 0)
		return log_fail(EINVAL, "%s: no ELF program headers",
				image->name);
	if (get_le16(ehdr + 54) != PHDR_BYTES || count > PHDRS_MAX)
		return log_fail(EINVAL,
				"%s: invalid ELF program headers (%u of %u "
				"bytes)",
				image->name, count, get_le16(ehdr + 54));
	if (!range_within(offset, (uint64_t)count * PHDR_BYTES,
			  image->size_bytes))
		return log_fail(ENODATA, "%s: truncated ELF program headers",
				image->name);
	s->count = count;
	return image_read(image, offset, s->table, (size_t)count * PHDR_BYTES);
}

/* Whether the segment occupies memory. */
static bool is_loaded(const struct phdr *p)
{
	return p->type == PT_LOAD && (p->memsz != 0 || p->filesz != 0);
}

/*
 * Computes the distance by which a position-independent file is moved: 0 if it
 * is linked in RAM. It preserves the alignment of each segment.
 */
static int find_distance(struct segments *s, const struct memory *memory,
			 const struct image *image, gpa_t base)
{
	uint64_t lowest = UINT64_MAX, align = PAGE_BYTES;

	for (unsigned int i = 0; i < s->count; i++) {
		struct phdr p = phdr_decode(s->table + i * PHDR_BYTES);

		if (!is_loaded(&p))
			continue;
		if (p.align > ALIGN_MAX || (p.align & (p.align - 1)) != 0)
			return log_fail(EINVAL,
					"%s: ELF segment %u has invalid "
					"alignment (0x%" PRIx64 ")",
					image->name, i, p.align);
		lowest = min_u64(lowest, p.paddr);
		align = max_u64(align, p.align);
	}
	if (lowest < memory->regions[0].gpa)
		s->distance = align_up(base, align) - align_down(lowest, align);
	return 0;
}

/* Adds one PT_LOAD to the plan and extends the kernel's range. */
static int load_segment(struct plan *plan, const struct memory *memory,
			const struct image *image, const struct phdr *p,
			unsigned int i, gpa_t gpa, struct elf_kernel *kernel)
{
	if (!is_loaded(p))
		return 0;
	if (p->filesz > p->memsz)
		return log_fail(EINVAL,
				"%s: ELF segment %u is larger in the file "
				"than in memory",
				image->name, i);
	if (!range_within(p->offset, p->filesz, image->size_bytes))
		return log_fail(ENODATA, "%s: truncated ELF segment %u",
				image->name, i);
	if (gpa < p->paddr || !memory_find(memory, gpa, p->memsz))
		return log_fail(EFAULT,
				"%s: ELF segment %u (%" PRIu64
				" KiB at 0x%" PRIx64
				") is outside guest memory",
				image->name, i, p->memsz / KIB, gpa);
	kernel->lowest = min_u64(kernel->lowest, gpa);
	kernel->highest = max_u64(kernel->highest, gpa + p->memsz);
	return plan_add_file(plan, "kernel", gpa, p->filesz, image->fd,
			     p->offset);
}

/*
 * Finds the PVH entry among the notes at @b. A malformed note ends the search,
 * since notes are not needed to boot.
 */
static void scan_notes(const uint8_t *b, size_t len, uint64_t align,
		       struct elf_kernel *kernel)
{
	size_t at = 0;

	while (range_within(at, 12, len)) {
		uint64_t name_len = get_le32(b + at);
		uint64_t desc_len = get_le32(b + at + 4);
		uint32_t type = get_le32(b + at + 8);
		uint64_t name = at + 12;
		uint64_t desc = align_up(name + name_len, align);

		if (!range_within(name, name_len, len) ||
		    !range_within(desc, desc_len, len))
			return;
		if (type == XEN_ELFNOTE_PHYS32_ENTRY && name_len == 4 &&
		    memcmp(b + name, "Xen", 4) == 0 && desc_len >= 4) {
			kernel->pvh_entry = get_le32(b + desc);
			return;
		}
		at = (size_t)align_up(desc + desc_len, align);
	}
}

/* Reads one PT_NOTE and searches it for the PVH entry. */
static int load_notes(const struct image *image, const struct phdr *p,
		      unsigned int i, struct elf_kernel *kernel)
{
	CLEANUP_FREE uint8_t *notes = NULL;
	int err;

	if (!range_within(p->offset, p->filesz, image->size_bytes))
		return log_fail(ENODATA, "%s: truncated ELF segment %u",
				image->name, i);
	if (p->filesz > NOTES_BYTES_MAX)
		return log_fail(EINVAL, "%s: ELF segment %u has too many notes",
				image->name, i);
	if (p->filesz == 0 || kernel->pvh_entry)
		return 0;
	notes = malloc((size_t)p->filesz);
	if (!notes)
		return log_errno(ENOMEM, "%s: read ELF notes", image->name);
	err = image_read(image, p->offset, notes, (size_t)p->filesz);
	if (!err)
		scan_notes(notes, (size_t)p->filesz, p->align == 8 ? 8 : 4,
			   kernel);
	return err;
}

static int load_phdr(struct plan *plan, const struct memory *memory,
		     const struct image *image, const struct segments *s,
		     unsigned int i, struct elf_kernel *kernel)
{
	struct phdr p = phdr_decode(s->table + i * PHDR_BYTES);

	switch (p.type) {
	case PT_LOAD:
		return load_segment(plan, memory, image, &p, i,
				    p.paddr + s->distance, kernel);
	case PT_NOTE:
		return load_notes(image, &p, i, kernel);
	default:
		return 0;
	}
}

int elf_load(struct plan *plan, const struct memory *memory,
	     const struct image *image, uint16_t machine, gpa_t base,
	     struct elf_kernel *kernel)
{
	struct segments s = { .count = 0 };
	uint8_t ehdr[EHDR_BYTES];
	int err;

	*kernel = (struct elf_kernel){ .lowest = UINT64_MAX };
	err = read_header(image, machine, ehdr);
	if (!err)
		err = read_table(image, ehdr, &s);
	if (!err && get_le16(ehdr + E_TYPE) == ET_DYN)
		err = find_distance(&s, memory, image, base);
	for (unsigned int i = 0; i < s.count && !err; i++)
		err = load_phdr(plan, memory, image, &s, i, kernel);
	if (err)
		return err;
	if (kernel->lowest == UINT64_MAX)
		return log_fail(EINVAL, "%s: no loadable ELF segment",
				image->name);
	kernel->entry = get_le64(ehdr + 24) + s.distance;
	return 0;
}
