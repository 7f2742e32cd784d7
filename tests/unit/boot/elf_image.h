/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An ELF kernel made in memory: two segments to load and a note, each of which
 * a test can spoil.
 */
#ifndef TESTS_UNIT_BOOT_ELF_IMAGE_H
#define TESTS_UNIT_BOOT_ELF_IMAGE_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ELF_TEXT_GPA  0x100000
#define ELF_DATA_GPA  0x200000
#define ELF_PVH_ENTRY 0x100040

/* All of the file; offsets are those of the members. */
struct elf_image {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr[3];
	struct {
		/* Another note first, whose name is not padded to four. */
		uint32_t other[3];
		char other_name[4];
		uint32_t other_desc;
		uint32_t head[3];
		char name[4];
		uint32_t entry;
	} note;
	uint8_t data[512];
	uint8_t text[4096];
};

#define ELF_OFFSET(member) offsetof(struct elf_image, member)

/* A good image for @machine. */
static inline void elf_image_make(struct elf_image *e, uint16_t machine)
{
	memset(e, 0, sizeof(*e));
	memcpy(e->ehdr.e_ident, ELFMAG "\2\1\1", 7);
	e->ehdr.e_type = ET_EXEC;
	e->ehdr.e_machine = machine;
	e->ehdr.e_version = 1;
	e->ehdr.e_entry = ELF_TEXT_GPA;
	e->ehdr.e_phoff = ELF_OFFSET(phdr);
	e->ehdr.e_ehsize = sizeof(Elf64_Ehdr);
	e->ehdr.e_phentsize = sizeof(Elf64_Phdr);
	e->ehdr.e_phnum = 3;
	e->phdr[0] = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_offset = ELF_OFFSET(text),
		.p_vaddr = UINT64_C(0xffffffff81000000),
		.p_paddr = ELF_TEXT_GPA,
		.p_filesz = sizeof(e->text),
		.p_memsz = sizeof(e->text),
	};
	e->phdr[1] = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_offset = ELF_OFFSET(data),
		.p_paddr = ELF_DATA_GPA,
		.p_filesz = sizeof(e->data),
		.p_memsz = 0x4000,
	};
	e->phdr[2] = (Elf64_Phdr){
		.p_type = PT_NOTE,
		.p_offset = ELF_OFFSET(note),
		.p_filesz = sizeof(e->note),
		.p_memsz = sizeof(e->note),
		.p_align = 4,
	};
	e->note.other[0] = 3;
	e->note.other[1] = 4;
	e->note.other[2] = 18;
	memcpy(e->note.other_name, "Xe", 3);
	e->note.other_desc = 0xdeadbeef;
	e->note.head[0] = 4;
	e->note.head[1] = 4;
	e->note.head[2] = 18;
	memcpy(e->note.name, "Xen", 4);
	e->note.entry = ELF_PVH_ENTRY;
	memset(e->data, 0xdd, sizeof(e->data));
	memset(e->text, 0xcc, sizeof(e->text));
}

#endif
