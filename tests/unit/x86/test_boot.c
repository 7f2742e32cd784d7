/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * x86-boot: valid and corrupt kernels through arch_boot().
 *
 * There is no KVM: a valid kernel gets as far as the register ioctls, which
 * fail; the plan is complete by then.
 */
#include <errno.h>
#include <stdlib.h>

#include "arch/x86/bzimage.h"
#include "arch/x86/e820.h"
#include "arch/x86/x86.h"
#include "tests/unit/boot/elf_image.h"
#include "tests/unit/boot/helper.h"

#define RAM_BYTES (32 * MIB)
#define SECTORS	  2
#define SETUP	  ((SECTORS + 1) * 512)
#define PAYLOAD	  4096
#define BZ_BYTES  (SETUP + PAYLOAD)
#define BZ_LOAD	  0x1000000

/* One boot. */
struct attempt {
	struct machine machine;
	struct kvm_vcpu cpu;
	struct plan plan;
	struct capture capture;
	const char *cmdline;
	const char *initrd;
	uint64_t ram_bytes;
};

/* A valid bzImage. */
static void make_bzimage(uint8_t b[BZ_BYTES])
{
	memset(b, 0, BZ_BYTES);
	memset(b + SETUP, 0x90, PAYLOAD);
	memcpy(b, "MZ", 2);
	b[0x1f1] = SECTORS;
	put_le32(b + 0x1f4, PAYLOAD / 16);
	put_le16(b + 0x1fe, 0xaa55);
	b[0x201] = 0x6a;
	memcpy(b + 0x202, "HdrS", 4);
	put_le16(b + 0x206, 0x20f);
	b[0x211] = 1;
	put_le32(b + 0x22c, 0x7fffffff);
	put_le32(b + 0x230, 0x200000);
	b[0x234] = 1;
	put_le16(b + 0x236, 0x3f);
	put_le32(b + 0x238, 2047);
	put_le64(b + 0x258, BZ_LOAD);
	put_le32(b + 0x260, 0x10000);
}

/* Boots @len bytes at @kernel; returns the result of arch_boot(). */
static int boot(struct attempt *a, const void *kernel, size_t len)
{
	struct boot_config config = {
		.kernel_fd = file_of(kernel, len),
		.kernel_name = "k",
		.initrd_fd =
			a->initrd ? file_of(a->initrd, strlen(a->initrd)) : -1,
		.initrd_name = "i",
		.cmdline = a->cmdline ? a->cmdline : "console=ttyS0",
		.has_serial = true,
	};
	int err;

	arch_layout(&a->machine.layout);
	ram_init(&a->machine.memory, a->ram_bytes ? a->ram_bytes : RAM_BYTES,
		 0);
	a->cpu.fd = -1;
	a->machine.cpus = &a->cpu;
	a->machine.cpu_count = 2;
	capture_begin(&a->capture);
	err = arch_boot(&a->machine, &config, &a->plan);
	close(config.kernel_fd);
	if (config.initrd_fd >= 0)
		close(config.initrd_fd);
	return err;
}

static void finish(struct attempt *a)
{
	plan_finish(&a->plan);
	memory_finish(&a->machine.memory);
}

/* arch_boot() must return @err with one line that contains @words. */
static void refused(const void *kernel, size_t len, int err, const char *words)
{
	struct attempt a = { 0 };
	int got = boot(&a, kernel, len);

	capture_one_line(&a.capture, words);
	assert_int_equal(got, err);
	finish(&a);
}

/* The boot must reach the registers; then the plan is applied. */
static void taken(struct attempt *a, const void *kernel, size_t len)
{
	assert_int_equal(boot(a, kernel, len), -EBADF);
	capture_one_line(&a->capture, "KVM_GET_SREGS");
	assert_int_equal(plan_apply(&a->plan, &a->machine.memory), 0);
}

/* Reads guest memory. */
static const uint8_t *ram(const struct attempt *a, gpa_t gpa, uint64_t len)
{
	void *p;

	assert_int_equal(memory_map(&a->machine.memory, gpa, len, &p), 0);
	return p;
}

/*
 * A bzImage: kernel, command line, initrd and tables are at the recorded
 * addresses.
 */
static void test_bzimage(void **state)
{
	struct attempt a = { .initrd = "initrd!", .cmdline = "a=b c" };
	uint8_t b[BZ_BYTES];
	const uint8_t *z;
	uint32_t initrd;

	(void)state;
	make_bzimage(b);
	taken(&a, b, sizeof(b));
	assert_memory_equal(ram(&a, BZ_LOAD, PAYLOAD), b + SETUP, PAYLOAD);
	z = ram(&a, X86_ZERO_PAGE, 4096);
	assert_memory_equal(z + 0x202, "HdrS", 4);
	assert_int_equal(z[0x210], 0xff);
	assert_string_equal((const char *)ram(&a, get_le32(z + 0x228), 6),
			    "a=b c");
	initrd = get_le32(z + 0x218);
	assert_int_equal(get_le32(z + 0x21c), 7);
	assert_memory_equal(ram(&a, initrd, 7), "initrd!", 7);
	assert_true(initrd >= BZ_LOAD + 0x10000);
	assert_memory_equal(ram(&a, get_le64(z + 0x70), 8), "RSD PTR ", 8);
	assert_true(z[0x1e8] >= 4);
	finish(&a);
}

/*
 * A relocatable kernel is loaded lower if RAM ends below its preferred address.
 */
static void test_bzimage_moves(void **state)
{
	struct attempt a = { .ram_bytes = 8 * MIB };
	uint8_t b[BZ_BYTES];

	(void)state;
	make_bzimage(b);
	taken(&a, b, sizeof(b));
	assert_memory_equal(ram(&a, 0x200000, PAYLOAD), b + SETUP, PAYLOAD);
	finish(&a);

	b[0x234] = 0;
	a = (struct attempt){ .ram_bytes = 8 * MIB };
	assert_int_equal(boot(&a, b, sizeof(b)), -EFBIG);
	capture_one_line(&a.capture, "see --mem");
	finish(&a);
}

/* Truncated at every length, it is refused, with the name of the part. */
static void test_bzimage_truncated(void **state)
{
	uint8_t b[BZ_BYTES];

	(void)state;
	make_bzimage(b);
	refused(b, 1, -ENOEXEC, "a text file");
	for (size_t len = 2; len < BZ_BYTES; len += len < SETUP ? 1 : 97)
		refused(b, len, -ENODATA,
			len < 0x206  ? "truncated boot sector" :
			len < 0x26c  ? "truncated setup header" :
			len <= SETUP ? "truncated setup code" :
				       "truncated kernel");
}

/* Each malformed field of the header is refused. */
static void test_bzimage_nonsense(void **state)
{
	static const struct {
		uint16_t offset;
		uint8_t size;
		int err;
		uint64_t value;
		const char *words;
	} rows[] = {
		{ 0x206, 2, -ENOEXEC, 0x20b, "2.11 is too old" },
		{ 0x201, 1, -EINVAL, 0x10, "bad setup header length" },
		{ 0x201, 1, -EINVAL, 0xff, "bad setup header length" },
		{ 0x236, 2, -ENOEXEC, 0, "32-bit" },
		{ 0x211, 1, -ENOEXEC, 0, "zImage" },
		{ 0x1f4, 4, -EINVAL, 0, "empty kernel" },
		{ 0x1f4, 4, -ENODATA, UINT32_MAX, "truncated kernel" },
		{ 0x1f1, 1, -ENODATA, 0xff, "truncated setup code" },
		{ 0x260, 4, -EINVAL, UINT32_MAX, "bad init_size" },
		{ 0x260, 4, -EFBIG, 0x3f000000, "see --mem" },
		{ 0x238, 4, -EINVAL, 3, "command line is 13 bytes" },
	};
	uint8_t b[BZ_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		make_bzimage(b);
		put_le(b + rows[i].offset, rows[i].value, rows[i].size);
		refused(b, sizeof(b), rows[i].err, rows[i].words);
	}
}

/* Bit flips in the header: any result, at most one line. */
static void test_bzimage_flipped(void **state)
{
	uint8_t b[BZ_BYTES];

	(void)state;
	srandom(1);
	for (int round = 0; round < 3000; round++) {
		struct attempt a = { .initrd = "i" };

		make_bzimage(b);
		for (int i = 0; i <= round % 3; i++)
			b[0x1f1 + random() % (0x270 - 0x1f1)] ^=
				(uint8_t)(1 << random() % 8);
		assert_true(boot(&a, b, sizeof(b)) < 0);
		assert_int_equal(capture_end(&a.capture), 1);
		finish(&a);
	}
}

/* An ELF kernel with a PVH note: start info, memory map, modules. */
static void test_pvh(void **state)
{
	struct attempt a = { .initrd = "initrd!" };
	struct elf_image e;
	const uint8_t *s, *map, *module;

	(void)state;
	elf_image_make(&e, EM_X86_64);
	taken(&a, &e, sizeof(e));
	s = ram(&a, X86_ZERO_PAGE, 64);
	assert_int_equal(get_le32(s), 0x336ec578);
	assert_int_equal(get_le32(s + 4), 1);
	assert_int_equal(get_le32(s + 12), 1);
	module = ram(&a, get_le64(s + 16), 32);
	assert_int_equal(get_le64(module + 8), 7);
	assert_memory_equal(ram(&a, get_le64(module), 7), "initrd!", 7);
	assert_string_equal((const char *)ram(&a, get_le64(s + 24), 14),
			    "console=ttyS0");
	assert_memory_equal(ram(&a, get_le64(s + 32), 8), "RSD PTR ", 8);
	map = ram(&a, get_le64(s + 40), 24);
	assert_int_equal(get_le64(map), 0);
	assert_int_equal(get_le32(map + 16), E820_RAM);
	assert_null(plan_find(&a.plan, X86_PAGE_TABLES, 1));
	finish(&a);
}

/* An ELF kernel without the note: the 64-bit entry. */
static void test_elf64(void **state)
{
	struct attempt a = { 0 };
	struct elf_image e;

	(void)state;
	elf_image_make(&e, EM_X86_64);
	e.phdr[2].p_type = PT_NULL;
	taken(&a, &e, sizeof(e));
	assert_memory_equal(ram(&a, X86_ZERO_PAGE + 0x202, 4), "HdrS", 4);
	assert_int_equal(get_le64(ram(&a, X86_PAGE_TABLES, 8)),
			 (X86_PAGE_TABLES + 4096) | 3);
	finish(&a);
}

/* Files of other formats are named. */
static void test_other_files(void **state)
{
	struct elf_image e;
	uint8_t arm[64] = { 0 };

	(void)state;
	refused("#!/bin/sh\n", 10, -ENOEXEC, "a text file");
	refused("\x1f\x8b\x08zzzzzz", 9, -ENOEXEC, "a gzip file");
	memcpy(arm + 0x38, "ARMd", 4);
	refused(arm, sizeof(arm), -ENOEXEC, "an arm64 Image");
	elf_image_make(&e, EM_AARCH64);
	refused(&e, sizeof(e), -ENOEXEC, "AArch64");
	elf_image_make(&e, EM_X86_64);
	e.note.entry = 0x90000000;
	refused(&e, sizeof(e), -EINVAL, "ELF entry 0x90000000");
	/* A kernel over the boot structures is refused. */
	elf_image_make(&e, EM_X86_64);
	e.phdr[0].p_paddr = X86_ZERO_PAGE - 0x1000;
	e.phdr[0].p_memsz = e.phdr[0].p_filesz = 4096;
	e.note.entry = X86_ZERO_PAGE - 0x1000;
	e.phdr[0].p_paddr = X86_ZERO_PAGE - 0x800;
	refused(&e, sizeof(e), -EINVAL, "ELF entry");
	e.note.entry = X86_ZERO_PAGE;
	refused(&e, sizeof(e), -ERANGE, "start info");
}

/* An initrd larger than memory is refused. */
static void test_initrd(void **state)
{
	struct attempt a = { .ram_bytes = 8 * MIB };
	size_t len = 9 * MIB;
	char *big = test_malloc(len + 1);
	struct elf_image e;

	(void)state;
	memset(big, 'x', len);
	big[len] = '\0';
	a.initrd = big;
	elf_image_make(&e, EM_X86_64);
	assert_int_equal(boot(&a, &e, sizeof(e)), -EFBIG);
	capture_one_line(&a.capture, "initrd i: ");
	finish(&a);
	test_free(big);
}

/* The memory map: sorted, no overlaps, RAM where memory has it. */
static void check_map(uint64_t low, uint64_t high)
{
	struct memory memory;
	struct e820 map;
	uint64_t ram_bytes = 0, end = 0;

	ram_init(&memory, low, high);
	e820_make(&map, &memory);
	for (size_t i = 0; i < map.count; i++) {
		const struct e820_entry *e = &map.entries[i];

		assert_true(e->gpa >= end);
		assert_true(e->size_bytes > 0);
		end = e->gpa + e->size_bytes;
		if (e->type != E820_RAM)
			continue;
		ram_bytes += e->size_bytes;
		assert_non_null(memory_find(&memory, e->gpa, e->size_bytes));
	}
	assert_int_equal(ram_bytes,
			 low + high - (X86_HIGH_RAM - X86_LOW_RAM_END));
	memory_finish(&memory);
}

static void test_e820(void **state)
{
	(void)state;
	check_map(2 * MIB, 0);
	check_map(3 * GIB, 0);
	check_map(3 * GIB, 4096);
	check_map(3 * GIB, 2 * GIB);
}

/* The release of @len bytes at @b. */
static void check_release(const void *b, size_t len, const char *want)
{
	char release[KERNEL_RELEASE_BYTES] = "not set";
	struct image image;

	assert_int_equal(image_init(&image, file_of(b, len), "k"), 0);
	assert_int_equal(arch_kernel_release(&image, release), 0);
	assert_string_equal(release, want);
	close(image.fd);
}

/* The text that kernel_version points at, or the banner of another file. */
static void test_release(void **state)
{
	static const char text[] = "6.12.95+deb12-cloud-amd64 (builder) #1";
	static const char elf[] = "\177ELF....Linux version 7.0.0-rc1+ (x)";
	uint8_t b[BZ_BYTES];

	(void)state;
	make_bzimage(b);
	put_le16(b + 0x20e, 0);
	check_release(b, sizeof(b), "");
	put_le16(b + 0x20e, 0x100);
	memcpy(b + 0x300, text, sizeof(text));
	check_release(b, sizeof(b), "6.12.95+deb12-cloud-amd64");
	/* Cut off within the text, and before it. */
	check_release(b, 0x304, "");
	check_release(b, 0x300, "");
	memset(b + 0x300, 0xff, 100);
	check_release(b, sizeof(b), "");
	check_release(elf, sizeof(elf), "7.0.0-rc1+");
	check_release("k", 1, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_release),
		cmocka_unit_test(test_bzimage),
		cmocka_unit_test(test_bzimage_moves),
		cmocka_unit_test(test_bzimage_truncated),
		cmocka_unit_test(test_bzimage_nonsense),
		cmocka_unit_test(test_bzimage_flipped),
		cmocka_unit_test(test_pvh),
		cmocka_unit_test(test_elf64),
		cmocka_unit_test(test_other_files),
		cmocka_unit_test(test_initrd),
		cmocka_unit_test(test_e820),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
