/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Boots an x86 machine: selects the protocol, and adds what all protocols need.
 *
 *	bzImage			64-bit entry of the Linux boot protocol
 *	ELF with a PVH note	32-bit entry of the PVH boot ABI
 *	other ELF		64-bit entry at e_entry, as of vmlinux
 *
 * Everything is added to the plan.  Main thread.
 */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#include "arch/x86/acpi.h"
#include "arch/x86/bzimage.h"
#include "arch/x86/e820.h"
#include "arch/x86/power.h"
#include "arch/x86/pvh.h"
#include "arch/x86/vcpu.h"
#include "arch/x86/x86.h"
#include "vmm/base/log.h"
#include "vmm/boot/elf.h"
#include "vmm/boot/image.h"

/* COMMAND_LINE_SIZE of Linux on x86, minus the terminating zero. */
#define CMDLINE_MAX UINT64_C(2047)

/* State of one boot. */
struct booting {
	struct machine *machine;
	const struct boot_config *config;
	struct plan *plan;
	struct image kernel;
	struct e820 map;
	gpa_t initrd_gpa;
	uint64_t initrd_bytes;
};

static int add_cmdline(const struct booting *b, uint64_t max)
{
	size_t len = strlen(b->config->cmdline);

	max = min_u64(max, X86_CMDLINE_BYTES - 1);
	if (len > max)
		return log_fail(EINVAL,
				"kernel command line is %zu bytes long; the "
				"limit of %s is %" PRIu64,
				len, b->kernel.name, max);
	return plan_add_bytes(b->plan, "command line", X86_CMDLINE,
			      b->config->cmdline, len + 1);
}

/* Adds the initrd, if there is one, between @floor and @limit. */
static int add_initrd(struct booting *b, gpa_t floor, gpa_t limit)
{
	struct image image;
	int err;

	if (b->config->initrd_fd < 0)
		return 0;
	err = image_init(&image, b->config->initrd_fd, b->config->initrd_name);
	if (err)
		return err;
	b->initrd_bytes = image.size_bytes;
	return initrd_add(b->plan, &b->machine->memory, &image, floor,
			  min_u64(limit, X86_HOLE), &b->initrd_gpa);
}

/*
 * Code for a jump to the reset vector.  With hardware-reduced ACPI and without
 * EFI, Linux resets by the BIOS although the FADT has a reset register.
 */
static int add_reset_vector(const struct booting *b)
{
	const uint16_t port = X86_POWER_PORT + POWER_RESET;
	const uint8_t code[] = {
		0xba,
		(uint8_t)port,
		(uint8_t)(port >> 8), /* mov port, %dx */
		0xb0,
		POWER_RESET_VALUE, /* mov value, %al */
		0xee, /* out %al, (%dx) */
		0xf4, /* hlt */
		0xeb,
		0xfd, /* jmp to the hlt */
	};

	return plan_add_bytes(b->plan, "reset vector", X86_RESET_VECTOR, code,
			      sizeof(code));
}

/* Adds the ACPI tables and the generation id. */
static int add_tables(const struct booting *b)
{
	uint8_t id[16];
	const struct acpi_config acpi = {
		.cpu_count = b->machine->cpu_count,
		.layout = &b->machine->layout,
		.has_serial = b->config->has_serial,
		.base_gpa = X86_ACPI,
		.generation_gpa = X86_GENERATION_ID,
	};
	int err;

	if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id))
		return log_errno(errno, "getrandom");
	err = plan_add_bytes(b->plan, "generation id", X86_GENERATION_ID, id,
			     sizeof(id));
	return err ? err : acpi_add(b->plan, &acpi);
}

/* The 64-bit entry: page tables, GDT, zero page, registers. */
static int enter_linux64(const struct booting *b, const struct bzimage *bz,
			 uint64_t entry)
{
	const struct zero_page zp = {
		.bz = bz,
		.map = &b->map,
		.cmdline_gpa = X86_CMDLINE,
		.initrd_gpa = b->initrd_gpa,
		.initrd_bytes = b->initrd_bytes,
		.rsdp_gpa = X86_ACPI,
	};
	int err = zero_page_add(b->plan, X86_ZERO_PAGE, &zp);

	if (!err)
		err = vcpu_long_mode_tables(b->plan);
	return err ? err :
		     vcpu_long_mode(&b->machine->cpus[0], entry, X86_ZERO_PAGE);
}

/* The PVH entry: start info and registers. */
static int enter_pvh(const struct booting *b, uint32_t entry)
{
	const struct pvh_start start = {
		.map = &b->map,
		.cmdline_gpa = X86_CMDLINE,
		.initrd_gpa = b->initrd_gpa,
		.initrd_bytes = b->initrd_bytes,
		.rsdp_gpa = X86_ACPI,
	};
	int err = pvh_start_add(b->plan, X86_ZERO_PAGE, &start);

	return err ? err :
		     vcpu_protected_mode(&b->machine->cpus[0], entry,
					 (uint32_t)X86_ZERO_PAGE);
}

static int boot_bzimage(struct booting *b)
{
	struct bzimage bz;
	int err = bzimage_read(&bz, &b->kernel, &b->machine->memory);

	if (!err)
		err = bzimage_load(&bz, &b->kernel, b->plan);
	if (!err)
		err = add_cmdline(b, bz.cmdline_max);
	if (!err)
		err = add_initrd(b, bz.load_gpa + bz.init_bytes,
				 bz.initrd_limit);
	return err ? err : enter_linux64(b, &bz, bzimage_entry(&bz));
}

static int boot_elf(struct booting *b)
{
	struct elf_kernel elf;
	uint64_t entry;
	int err = elf_load(b->plan, &b->machine->memory, &b->kernel, EM_X86_64,
			   X86_HIGH_RAM, &elf);

	if (err)
		return err;
	entry = elf.pvh_entry ? elf.pvh_entry : elf.entry;
	if (entry < elf.lowest || entry >= elf.highest)
		return log_fail(EINVAL,
				"%s: ELF entry 0x%" PRIx64
				" is outside the loaded segments",
				b->kernel.name, entry);
	err = add_cmdline(b, CMDLINE_MAX);
	if (!err)
		err = add_initrd(b, elf.highest, X86_HOLE);
	if (err)
		return err;
	return elf.pvh_entry ? enter_pvh(b, elf.pvh_entry) :
			       enter_linux64(b, NULL, elf.entry);
}

static int boot_kernel(struct booting *b)
{
	uint8_t head[IMAGE_HEAD_BYTES];
	int n = image_head(&b->kernel, head, sizeof(head));

	if (n < 0)
		return n;
	if (bzimage_detect(head, (size_t)n))
		return boot_bzimage(b);
	if (n >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0)
		return boot_elf(b);
	if (n < SETUP_HEADER_END && n >= 2 && memcmp(head, "MZ", 2) == 0)
		return log_fail(ENODATA, "%s: truncated boot sector",
				b->kernel.name);
	return log_fail(ENOEXEC,
			"%s: %s; expected a bzImage or an x86-64 ELF file",
			b->kernel.name, image_describe(head, (size_t)n));
}

int arch_boot(struct machine *machine, const struct boot_config *boot,
	      struct plan *plan)
{
	struct booting b = { .machine = machine, .config = boot, .plan = plan };
	int err = image_init(&b.kernel, boot->kernel_fd, boot->kernel_name);

	if (err)
		return err;
	e820_make(&b.map, &machine->memory);
	err = add_tables(&b);
	if (!err)
		err = add_reset_vector(&b);
	return err ? err : boot_kernel(&b);
}
