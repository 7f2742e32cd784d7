/* SPDX-License-Identifier: BSD-2-Clause */
/* boot-elf: ELF kernels, whole and spoilt in every place. */
#include <errno.h>
#include <stdlib.h>

#include "tests/unit/boot/elf_image.h"
#include "tests/unit/boot/helper.h"
#include "vmm/boot/elf.h"

#define RAM_BYTES (4 * MIB)

/* One attempt to load. */
struct attempt {
	struct memory memory;
	struct plan plan;
	struct elf_kernel kernel;
	struct capture capture;
};

/* Loads the first @len bytes of @e; the result of elf_load(). */
static int load(struct attempt *a, const struct elf_image *e, size_t len)
{
	struct image image = { .fd = file_of(e, len),
			       .size_bytes = len,
			       .name = "k" };
	int err;

	memset(&a->plan, 0, sizeof(a->plan));
	ram_init(&a->memory, RAM_BYTES, 0);
	capture_begin(&a->capture);
	err = elf_load(&a->plan, &a->memory, &image, EM_X86_64, MIB,
		       &a->kernel);
	close(image.fd);
	return err;
}

/* Loads an image that must be refused with @err and one line with @words. */
static void refused(const struct elf_image *e, size_t len, int err,
		    const char *words)
{
	struct attempt a;

	assert_int_equal(load(&a, e, len), err);
	capture_one_line(&a.capture, words);
	plan_finish(&a.plan);
	memory_finish(&a.memory);
}

/* A good image is loaded where it says, and its note is found. */
static void test_whole(void **state)
{
	struct elf_image e;
	struct attempt a;
	uint8_t b[3];

	(void)state;
	elf_image_make(&e, EM_X86_64);
	assert_int_equal(load(&a, &e, sizeof(e)), 0);
	assert_int_equal(capture_end(&a.capture), 0);
	assert_int_equal(a.kernel.entry, ELF_TEXT_GPA);
	assert_int_equal(a.kernel.pvh_entry, ELF_PVH_ENTRY);
	assert_int_equal(a.kernel.lowest, ELF_TEXT_GPA);
	assert_int_equal(a.kernel.highest, ELF_DATA_GPA + 0x4000);
	assert_int_equal(plan_apply(&a.plan, &a.memory), 0);
	assert_int_equal(memory_read(&a.memory, ELF_TEXT_GPA + 4095, b, 2), 0);
	assert_int_equal(b[0], 0xcc);
	assert_int_equal(b[1], 0);
	assert_int_equal(memory_read(&a.memory, ELF_DATA_GPA + 511, b, 2), 0);
	assert_int_equal(b[0], 0xdd);
	assert_int_equal(b[1], 0);
	plan_finish(&a.plan);
	memory_finish(&a.memory);
}

/* An image without the note has no PVH entry, and loads. */
static void test_no_note(void **state)
{
	struct elf_image e;
	struct attempt a;

	(void)state;
	elf_image_make(&e, EM_X86_64);
	e.phdr[2].p_type = PT_NULL;
	assert_int_equal(load(&a, &e, sizeof(e)), 0);
	assert_int_equal(capture_end(&a.capture), 0);
	assert_int_equal(a.kernel.pvh_entry, 0);
	plan_finish(&a.plan);
	memory_finish(&a.memory);
}

/* Cut at every length, it is refused, with the part that is cut. */
static void test_truncated(void **state)
{
	struct elf_image e;

	(void)state;
	elf_image_make(&e, EM_X86_64);
	for (size_t len = 1; len < sizeof(e); len++)
		refused(&e, len, len < 4 ? -EINVAL : -ENODATA,
			len < 4		       ? "not an ELF file" :
			len < ELF_OFFSET(phdr) ? "truncated ELF header" :
			len < ELF_OFFSET(note) ? "ELF program headers" :
						 "truncated ELF segment 0");
	e.phdr[0].p_type = PT_NULL;
	refused(&e, ELF_OFFSET(data) + 1, -ENODATA, "truncated ELF segment 1");
	e.phdr[1].p_type = PT_NULL;
	refused(&e, ELF_OFFSET(note) + 1, -ENODATA, "truncated ELF segment 2");
}

/* Each field that makes no sense is named. */
static void test_nonsense(void **state)
{
	struct elf_image good, e;

	(void)state;
	elf_image_make(&good, EM_X86_64);
#define SPOILT(field, value, err, words)            \
	do {                                        \
		e = good;                           \
		e.field = (value);                  \
		refused(&e, sizeof(e), err, words); \
	} while (0)
	SPOILT(ehdr.e_machine, EM_AARCH64, -ENOEXEC, "AArch64");
	SPOILT(ehdr.e_machine, EM_386, -ENOEXEC, "i386");
	SPOILT(ehdr.e_ident[EI_CLASS], ELFCLASS32, -ENOEXEC, "x32");
	SPOILT(ehdr.e_ident[EI_DATA], ELFDATA2MSB, -ENOEXEC, "big-endian");
	SPOILT(ehdr.e_ident[EI_VERSION], 9, -EINVAL, "version");
	SPOILT(ehdr.e_type, ET_REL, -EINVAL, "not an executable");
	SPOILT(ehdr.e_phnum, 0, -EINVAL, "no ELF program headers");
	SPOILT(ehdr.e_phnum, 0xffff, -EINVAL, "invalid ELF program headers");
	SPOILT(ehdr.e_phentsize, 55, -EINVAL, "invalid ELF program headers");
	SPOILT(ehdr.e_phoff, UINT64_MAX, -ENODATA, "program headers");
	SPOILT(phdr[0].p_offset, UINT64_MAX - 1, -ENODATA, "segment 0");
	SPOILT(phdr[0].p_filesz, UINT64_MAX, -EINVAL, "segment 0");
	SPOILT(phdr[1].p_memsz, UINT64_MAX, -EFAULT, "segment 1");
	SPOILT(phdr[1].p_paddr, RAM_BYTES - 0x3fff, -EFAULT, "segment 1");
	SPOILT(phdr[1].p_paddr, UINT64_MAX - 0x1000, -EFAULT, "segment 1");
	SPOILT(phdr[2].p_offset, UINT64_MAX, -ENODATA, "segment 2");
#undef SPOILT
	e = good;
	e.phdr[0].p_type = e.phdr[1].p_type = PT_NULL;
	refused(&e, sizeof(e), -EINVAL, "no loadable ELF segment");
	e = good;
	e.phdr[1].p_paddr = ELF_TEXT_GPA + 0x800;
	refused(&e, sizeof(e), -ERANGE, "kernel");
}

/*
 * A file that is linked at 0 and loaded with RAM from 1 GiB on, as on arm64:
 * what elf_load() says, with the plan in place when it is 0.
 */
static int load_high(struct attempt *a, const struct elf_image *e)
{
	const struct memory_range range = { GIB, 16 * MIB };
	const struct memory_config config = {
		.backing = MEMORY_ANON,
		.ranges = &range,
		.range_count = 1,
	};
	struct image image = { .fd = file_of(e, sizeof(*e)),
			       .size_bytes = sizeof(*e),
			       .name = "k" };
	int err;

	memset(&a->plan, 0, sizeof(a->plan));
	assert_int_equal(memory_init(&a->memory, &config, NULL), 0);
	capture_begin(&a->capture);
	err = elf_load(&a->plan, &a->memory, &image, EM_AARCH64, GIB + 2 * MIB,
		       &a->kernel);
	if (!err)
		err = plan_apply(&a->plan, &a->memory);
	close(image.fd);
	return err;
}

/* A position-independent file, linked at 0 with its entry at 0x40. */
static void make_pie(struct elf_image *e)
{
	elf_image_make(e, EM_AARCH64);
	e->ehdr.e_type = ET_DYN;
	e->ehdr.e_entry = 0x40;
	e->phdr[0].p_vaddr = e->phdr[0].p_paddr = 0;
	e->phdr[0].p_align = 0x1000;
	e->phdr[1].p_vaddr = e->phdr[1].p_paddr = 0x11000;
	e->phdr[1].p_align = 0x10000;
}

/* It must be refused with @err and one line with @words. */
static void refused_high(const struct elf_image *e, int err, const char *words)
{
	struct attempt a;

	assert_int_equal(load_high(&a, e), err);
	capture_one_line(&a.capture, words);
	plan_finish(&a.plan);
	memory_finish(&a.memory);
}

/* All of it is at @base, and the segments keep their distance. */
static void placed_high(const struct elf_image *e, gpa_t base)
{
	struct attempt a;
	uint8_t b;

	assert_int_equal(load_high(&a, e), 0);
	assert_int_equal(capture_end(&a.capture), 0);
	assert_int_equal(a.kernel.entry, base + 0x40);
	assert_int_equal(a.kernel.lowest, base);
	assert_int_equal(a.kernel.highest, base + 0x15000);
	assert_int_equal(memory_read(&a.memory, base, &b, 1), 0);
	assert_int_equal(b, 0xcc);
	assert_int_equal(memory_read(&a.memory, base + 0x11000, &b, 1), 0);
	assert_int_equal(b, 0xdd);
	plan_finish(&a.plan);
	memory_finish(&a.memory);
}

/* Position-independent files are moved into RAM, others are not. */
static void test_moved(void **state)
{
	struct elf_image e;

	(void)state;
	make_pie(&e);
	placed_high(&e, GIB + 2 * MIB);
	e.phdr[1].p_align = 4 * MIB;
	placed_high(&e, GIB + 4 * MIB);
	/* Linked in RAM: it stays there. */
	e.phdr[1].p_align = 0x1000;
	e.ehdr.e_entry += GIB + 8 * MIB;
	e.phdr[0].p_paddr += GIB + 8 * MIB;
	e.phdr[1].p_paddr += GIB + 8 * MIB;
	placed_high(&e, GIB + 8 * MIB);
	make_pie(&e);
	e.ehdr.e_type = ET_EXEC;
	refused_high(&e, -EFAULT, "is outside guest memory");
}

/* One that cannot be moved is refused, whatever its numbers are. */
static void test_moved_nonsense(void **state)
{
	static const uint64_t far[] = { 14 * MIB, GIB, UINT64_MAX - GIB + 1,
					UINT64_MAX - 0xffff, UINT64_MAX };
	struct elf_image e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(far); i++) {
		make_pie(&e);
		e.phdr[1].p_paddr = far[i];
		refused_high(&e, -EFAULT, "segment 1");
	}
	make_pie(&e);
	e.phdr[1].p_align = 0x1800;
	refused_high(&e, -EINVAL, "segment 1 has invalid alignment (0x1800)");
	e.phdr[1].p_align = UINT64_C(1) << 63;
	refused_high(&e, -EINVAL, "segment 1 has invalid alignment");
}

/* Notes whose lengths lie are left alone. */
static void test_bad_notes(void **state)
{
	static const uint32_t lengths[] = { 0x7fffffff, 0xffffffff, 0xfffffffd,
					    4096, 0 };
	struct elf_image e;
	struct attempt a;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths) * 2; i++) {
		elf_image_make(&e, EM_X86_64);
		e.note.other[i & 1] = lengths[i / 2];
		assert_int_equal(load(&a, &e, sizeof(e)), 0);
		assert_int_equal(capture_end(&a.capture), 0);
		plan_finish(&a.plan);
		memory_finish(&a.memory);
	}
}

/* Bits flipped anywhere in the headers: any answer, no crash. */
static void test_flipped(void **state)
{
	struct elf_image e;
	struct attempt a;

	(void)state;
	srandom(1);
	for (int round = 0; round < 3000; round++) {
		elf_image_make(&e, EM_X86_64);
		for (int i = 0; i <= round % 3; i++)
			((uint8_t *)&e)[(size_t)random() % ELF_OFFSET(data)] ^=
				(uint8_t)(1 << random() % 8);
		load(&a, &e, sizeof(e));
		assert_true(capture_end(&a.capture) <= 1);
		plan_finish(&a.plan);
		memory_finish(&a.memory);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_no_note),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_moved),
		cmocka_unit_test(test_moved_nonsense),
		cmocka_unit_test(test_bad_notes),
		cmocka_unit_test(test_flipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
