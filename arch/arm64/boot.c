/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The boot protocol of arm64 Linux (Documentation/arch/arm64/booting.rst).  The
 * first vCPU enters with the address of the device tree in x0; the others wait
 * for PSCI.  An ELF file starts the same way at its entry.  It is loaded at its
 * link address; a position-independent one linked below RAM (static-pie programs
 * are linked at 0) is loaded like an Image.
 *
 *	RAM start                 reserved (layout.h)
 *	+ 2 MiB + text_offset     Image, including bss
 *	next 2 MiB boundary       device tree, up to 2 MiB
 *	top of RAM, downwards     initrd
 *
 * Main thread.
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "arch/arm64/fdt.h"
#include "arch/arm64/image.h"
#include "arch/arm64/layout.h"
#include "arch/arm64/private.h"
#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/boot/elf.h"

/* Kernel and initrd are within 32 GiB (booting.rst). */
#define INITRD_WINDOW (32 * GIB)

/* Free space behind an ELF file. */
#define ELF_STACK_BYTES MIB

/* EL1h, with D, A, I and F masked (Arm DDI 0487, C5.2). */
#define PSTATE_BOOT UINT64_C(0x3c5)

/* ID_AA64MMFR0_EL1: field of each granule, and its value for "absent". */
static const struct {
	const char *name;
	unsigned int shift;
	unsigned int absent;
} granules[] = {
	[ARM64_GRANULE_4K] = { "4 KiB", 28, 0xf },
	[ARM64_GRANULE_16K] = { "16 KiB", 20, 0x0 },
	[ARM64_GRANULE_64K] = { "64 KiB", 24, 0xf },
};

/* Result of loading a kernel. */
struct loaded {
	gpa_t entry;
	gpa_t end; /* first address behind the kernel */
};

/* Refuses a kernel with a page size that the processor lacks. */
static int check_granule(const struct machine *machine,
			 const struct image *image, enum arm64_granule granule)
{
	uint64_t mmfr0;

	if (granule == ARM64_GRANULE_ANY ||
	    arm64_reg_get(&machine->cpus[0], REG_ID_AA64MMFR0_EL1, &mmfr0) != 0)
		return 0;
	if ((mmfr0 >> granules[granule].shift & 0xf) !=
	    granules[granule].absent)
		return 0;
	return log_fail(
		ENOEXEC,
		"%s: kernel needs %s pages, not supported by this processor",
		image->name, granules[granule].name);
}

/* Places an Image at the first 2 MiB boundary behind the reserved memory. */
static int load_image(const struct machine *machine, const struct image *image,
		      struct plan *plan, struct loaded *loaded)
{
	const struct memory_region *ram = &machine->memory.regions[0];
	struct arm64_image kernel;
	int err = arm64_image_parse(image, &kernel);

	if (err == 0)
		err = check_granule(machine, image, kernel.granule);
	if (err != 0)
		return err;
	loaded->entry = ARM64_KERNEL_GPA + kernel.text_offset;
	if (!range_within(loaded->entry - ram->gpa, kernel.size_bytes,
			  ram->size_bytes))
		return log_fail(EFBIG,
				"%s: kernel needs %llu MiB of memory; the "
				"guest has %llu MiB",
				image->name,
				(unsigned long long)(kernel.size_bytes / MIB +
						     1),
				(unsigned long long)(ram->size_bytes / MIB));
	loaded->end = loaded->entry + kernel.size_bytes;
	return plan_add_file(plan, "kernel", loaded->entry, kernel.file_bytes,
			     image->fd, 0);
}

/*
 * Places an ELF file at its link address, or as an Image.
 *
 * The device tree keeps a distance, as bare-metal programs often use memory
 * behind their segments as stack.
 */
static int load_elf(const struct machine *machine, const struct image *image,
		    struct plan *plan, struct loaded *loaded)
{
	struct elf_kernel kernel;
	int err = elf_load(plan, &machine->memory, image, EM_AARCH64,
			   ARM64_KERNEL_GPA, &kernel);

	if (err != 0)
		return err;
	if (kernel.lowest < ARM64_RAM_GPA + ARM64_OWN_BYTES)
		return log_fail(EFAULT,
				"%s: ELF segment at %#llx overlaps the first "
				"%llu KiB of RAM, which are reserved",
				image->name, (unsigned long long)kernel.lowest,
				(unsigned long long)(ARM64_OWN_BYTES / KIB));
	if (kernel.entry < kernel.lowest || kernel.entry >= kernel.highest)
		return log_fail(ENOEXEC,
				"%s: ELF entry %#llx is outside the loaded "
				"segments; give the Image",
				image->name, (unsigned long long)kernel.entry);
	loaded->entry = kernel.entry;
	loaded->end = kernel.highest + ELF_STACK_BYTES;
	return 0;
}

static bool is_elf(const struct image *image)
{
	uint8_t head[SELFMAG];

	return image->size_bytes >= sizeof(head) &&
	       image_read(image, 0, head, sizeof(head)) == 0 &&
	       memcmp(head, ELFMAG, SELFMAG) == 0;
}

static int load_kernel(const struct machine *machine,
		       const struct boot_config *boot, struct plan *plan,
		       struct loaded *loaded)
{
	CLEANUP_CLOSE int unpacked = -1;
	struct image image;
	int err = image_init(&image, boot->kernel_fd, boot->kernel_name);

	if (err != 0)
		return err;
	if (is_elf(&image))
		return load_elf(machine, &image, plan, loaded);
	err = arm64_image_unpack(&image, machine->memory.size_bytes);
	if (err < 0 && err != -EAGAIN)
		return err;
	if (err >= 0)
		unpacked = err;
	return load_image(machine, &image, plan, loaded);
}

/* Adds the initrd above @floor; without one, both numbers stay 0. */
static int load_initrd(const struct machine *machine,
		       const struct boot_config *boot, struct plan *plan,
		       gpa_t floor, struct fdt_config *fdt)
{
	const struct memory_region *ram = &machine->memory.regions[0];
	struct image image;
	int err;

	if (boot->initrd_fd < 0)
		return 0;
	err = image_init(&image, boot->initrd_fd, boot->initrd_name);
	if (err != 0)
		return err;
	fdt->initrd_bytes = image.size_bytes;
	return initrd_add(plan, &machine->memory, &image, floor,
			  ram->gpa + min_u64(ram->size_bytes, INITRD_WINDOW),
			  &fdt->initrd_gpa);
}

/* Seeds for the guest's random number generator and KASLR. */
static int get_seeds(uint8_t *rng, size_t len, uint64_t *kaslr)
{
	if (getrandom(rng, len, 0) != (ssize_t)len ||
	    getrandom(kaslr, sizeof(*kaslr), 0) != sizeof(*kaslr))
		return log_errno(errno, "getrandom");
	return 0;
}

/* Builds the device tree and adds it to the plan at @gpa. */
static int add_fdt(const struct machine *machine, struct fdt_config *config,
		   struct plan *plan, gpa_t gpa)
{
	CLEANUP_FREE uint64_t *mpidrs =
		calloc(machine->cpu_count, sizeof(*mpidrs));
	CLEANUP_FREE void *fdt = NULL;
	uint8_t seed[FDT_RNG_SEED_BYTES];
	size_t len;
	int err = 0;

	if (mpidrs == NULL)
		return log_errno(ENOMEM, "build the device tree");
	for (unsigned int i = 0; i < machine->cpu_count && err == 0; i++)
		err = arm64_mpidr(&machine->cpus[i], &mpidrs[i]);
	if (err == 0)
		err = get_seeds(seed, sizeof(seed), &config->kaslr_seed);
	if (err != 0)
		return err;
	config->mpidrs = mpidrs;
	config->rng_seed = seed;
	err = arm64_fdt_build(config, &fdt, &len);
	if (err != 0)
		return err;
	return plan_add_bytes(plan, "device tree", gpa, fdt, len);
}

/* Registers of the first vCPU; the others are off. */
static int set_registers(const struct kvm_vcpu *cpu, gpa_t entry, gpa_t fdt)
{
	int err = arm64_reg_set(cpu, CORE_REG(regs.pstate), PSTATE_BOOT);

	if (err == 0)
		err = arm64_reg_set(cpu, CORE_REG(regs.pc), entry);
	if (err == 0)
		err = arm64_reg_set(cpu, CORE_X(0), fdt);
	for (unsigned int n = 1; n <= 3 && err == 0; n++)
		err = arm64_reg_set(cpu, CORE_X(n), 0);
	return err != 0 ?
		       log_errno(-err, "vCPU %u: set boot registers", cpu->id) :
		       0;
}

/* The configuration from the machine. */
static void fdt_config_init(struct fdt_config *config,
			    const struct machine *machine,
			    const struct boot_config *boot,
			    struct memory_range *ranges)
{
	const struct memory *memory = &machine->memory;

	for (unsigned int i = 0; i < memory->region_count; i++)
		ranges[i] = (struct memory_range){
			.gpa = memory->regions[i].gpa,
			.size_bytes = memory->regions[i].size_bytes,
		};
	*config = (struct fdt_config){
		.layout = &machine->layout,
		.ranges = ranges,
		.range_count = memory->region_count,
		.cpu_count = machine->cpu_count,
		.cmdline = boot->cmdline,
		.has_serial = boot->has_serial,
		.has_pmu =
			arm64_has_feature(machine->arch, KVM_ARM_VCPU_PMU_V3),
	};
}

int arch_boot(struct machine *machine, const struct boot_config *boot,
	      struct plan *plan)
{
	const struct memory_region *ram = &machine->memory.regions[0];
	struct memory_range ranges[MEMORY_RANGES_MAX];
	struct fdt_config config;
	struct loaded loaded = { 0 };
	gpa_t fdt;
	int err = load_kernel(machine, boot, plan, &loaded);

	if (err != 0)
		return err;
	fdt = align_up(loaded.end, ARM64_FDT_BYTES_MAX);
	if (!range_within(fdt - ram->gpa, ARM64_FDT_BYTES_MAX, ram->size_bytes))
		return log_fail(EFBIG,
				"%s: no room for the device tree; the guest "
				"has %llu MiB of memory",
				boot->kernel_name,
				(unsigned long long)(ram->size_bytes / MIB));
	fdt_config_init(&config, machine, boot, ranges);
	err = load_initrd(machine, boot, plan, fdt + ARM64_FDT_BYTES_MAX,
			  &config);
	if (err == 0)
		err = add_fdt(machine, &config, plan, fdt);
	if (err == 0)
		err = set_registers(&machine->cpus[0], loaded.entry, fdt);
	return err;
}
