/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The nodes of this machine's device tree.  If the buffer is too small, the tree
 * is written again into one of twice the size.
 *
 * Bindings: Documentation/devicetree/bindings/ of the Linux kernel; the comment
 * above each function names the file.
 */
#include <errno.h>
#include <libfdt.h>
#include <linux/input-event-codes.h>
#include <stdio.h>
#include <stdlib.h>

#include "arch/arm64/dt_writer.h"
#include "arch/arm64/fdt.h"
#include "arch/arm64/layout.h"
#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

/* Phandles of the nodes that others refer to. */
enum { PHANDLE_GIC = 1, PHANDLE_ITS, PHANDLE_APB_CLOCK };

/* Interrupt specifiers (interrupt-controller/arm,gic-v3.yaml). */
enum { GIC_SPI = 0, GIC_PPI = 1 };
enum { IRQ_EDGE_RISING = 1, IRQ_LEVEL_HIGH = 4 };

#define SERIAL_REG_BYTES 8
#define SERIAL_CLOCK_HZ	 1843200 /* PC16550D data sheet, 8.5 */
#define RTC_REG_BYTES	 0x1000 /* including the PrimeCell ids */
#define APB_CLOCK_HZ	 24000000

/* PCI address cells: space code of 32-bit memory (IEEE 1275 PCI, 2.2.1.1). */
#define PCI_MEMORY_32	 0x02000000
#define PCI_DEVICE_SHIFT 11
#define PCI_INTA	 1

#define FIRST_BYTES 16384

/* chosen.yaml of dt-schema: the command line, the initrd, seeds. */
static void write_chosen(struct dt_writer *dt, const struct fdt_config *config)
{
	char path[64];

	dt_begin(dt, "chosen");
	dt_string(dt, "bootargs", config->cmdline);
	if (config->has_serial) {
		snprintf(path, sizeof(path), "/serial@%llx",
			 (unsigned long long)config->layout->serial_base);
		dt_string(dt, "stdout-path", path);
	}
	if (config->initrd_bytes != 0) {
		dt_u64(dt, "linux,initrd-start", config->initrd_gpa);
		dt_u64(dt, "linux,initrd-end",
		       config->initrd_gpa + config->initrd_bytes);
	}
	dt_u64(dt, "kaslr-seed", config->kaslr_seed);
	dt_bytes(dt, "rng-seed", config->rng_seed, FDT_RNG_SEED_BYTES);
	dt_end(dt);
}

/* memory.yaml of dt-schema. */
static void write_memory(struct dt_writer *dt, struct memory_range range)
{
	dt_begin_at(dt, "memory", range.gpa);
	dt_string(dt, "device_type", "memory");
	dt_cells(dt, "reg", CELLS(range.gpa), CELLS(range.size_bytes));
	dt_end(dt);
}

/*
 * reserved-memory.yaml of dt-schema.  no-map, because the generation id driver
 * maps its page as device memory, which Linux refuses for RAM that it has mapped.
 */
static void write_reserved(struct dt_writer *dt)
{
	dt_begin(dt, "reserved-memory");
	dt_cell_sizes(dt, 2, 2);
	dt_flag(dt, "ranges");
	dt_begin_at(dt, "machine", ARM64_RAM_GPA);
	dt_cells(dt, "reg", CELLS(ARM64_RAM_GPA), CELLS(ARM64_OWN_BYTES));
	dt_flag(dt, "no-map");
	dt_end(dt);
	dt_end(dt);
}

/* arm/cpus.yaml; reg is the affinity of the MPIDR. */
static void write_cpus(struct dt_writer *dt, const struct fdt_config *config)
{
	dt_begin(dt, "cpus");
	dt_cell_sizes(dt, 1, 0);
	for (unsigned int i = 0; i < config->cpu_count; i++) {
		uint32_t affinity = config->mpidrs[i] & 0xffffff;

		dt_begin_at(dt, "cpu", affinity);
		dt_string(dt, "device_type", "cpu");
		dt_string(dt, "compatible", "arm,armv8");
		dt_string(dt, "enable-method", "psci");
		dt_u32(dt, "reg", affinity);
		dt_end(dt);
	}
	dt_end(dt);
}

/* arm/psci.yaml; function numbers of PSCI 0.2. */
static void write_psci(struct dt_writer *dt)
{
	dt_begin(dt, "psci");
	dt_strings(dt, "compatible", "arm,psci-1.0\0arm,psci-0.2");
	dt_string(dt, "method", "hvc");
	dt_end(dt);
}

/* A PPI as an interrupt specifier. */
#define PPI(intid)  GIC_PPI, (intid)-ARM64_PPI_INTID, IRQ_LEVEL_HIGH
#define SPI(n)	    GIC_SPI, (n), IRQ_LEVEL_HIGH
#define EDGE_SPI(n) GIC_SPI, (n), IRQ_EDGE_RISING

/* timer/arm,arch_timer.yaml: secure, non-secure, virtual, hypervisor. */
static void write_timer(struct dt_writer *dt)
{
	dt_begin(dt, "timer");
	dt_string(dt, "compatible", "arm,armv8-timer");
	dt_cells(dt, "interrupts", PPI(ARM64_PTIMER_SECURE_INTID),
		 PPI(ARM64_PTIMER_INTID), PPI(ARM64_VTIMER_INTID),
		 PPI(ARM64_HTIMER_INTID));
	dt_flag(dt, "always-on");
	dt_end(dt);
}

/* arm/pmu.yaml. */
static void write_pmu(struct dt_writer *dt)
{
	dt_begin(dt, "pmu");
	dt_string(dt, "compatible", "arm,armv8-pmuv3");
	dt_cells(dt, "interrupts", PPI(ARM64_PMU_INTID));
	dt_end(dt);
}

/* interrupt-controller/arm,gic-v3.yaml, and the ITS as its child. */
static void write_gic(struct dt_writer *dt, const struct fdt_config *config)
{
	dt_begin_at(dt, "interrupt-controller", ARM64_GICD_GPA);
	dt_string(dt, "compatible", "arm,gic-v3");
	dt_u32(dt, "#interrupt-cells", 3);
	dt_flag(dt, "interrupt-controller");
	dt_cell_sizes(dt, 2, 2);
	dt_flag(dt, "ranges");
	dt_cells(dt, "reg", CELLS(ARM64_GICD_GPA), CELLS(ARM64_GICD_BYTES),
		 CELLS(ARM64_GICR_GPA),
		 CELLS(ARM64_GICR_STRIDE * config->cpu_count));
	dt_u32(dt, "phandle", PHANDLE_GIC);
	dt_begin_at(dt, "msi-controller", ARM64_ITS_GPA);
	dt_string(dt, "compatible", "arm,gic-v3-its");
	dt_flag(dt, "msi-controller");
	dt_u32(dt, "#msi-cells", 1);
	dt_cells(dt, "reg", CELLS(ARM64_ITS_GPA), CELLS(ARM64_ITS_BYTES));
	dt_u32(dt, "phandle", PHANDLE_ITS);
	dt_end(dt);
	dt_end(dt);
}

/*
 * The interrupt-map of pci.txt: pin A of slot n is line n % intx_count.  No
 * function has another pin.
 */
static void write_intx(struct dt_writer *dt, const struct layout *layout)
{
	enum { CELLS_EACH = 3 + 1 + 1 + 2 + 3, LINES_MAX = 6 };
	uint32_t map[CELLS_EACH * LINES_MAX] = { 0 };
	uint32_t lines = layout->intx_count;

	if (lines > LINES_MAX || !is_power_of_two(lines)) {
		dt_note(dt, -FDT_ERR_INTERNAL);
		return;
	}
	for (uint32_t n = 0; n < lines; n++) {
		const uint32_t entry[CELLS_EACH] = {
			/* the first of three cells has the slot number */
			n << PCI_DEVICE_SHIFT, 0, 0, PCI_INTA,
			PHANDLE_GIC,	       0, 0, SPI(layout->intx_first + n)
		};

		memcpy(map + n * CELLS_EACH, entry, sizeof(entry));
	}
	dt_u32(dt, "#interrupt-cells", 1);
	dt_cells(dt, "interrupt-map-mask", (lines - 1) << PCI_DEVICE_SHIFT, 0,
		 0, 7);
	dt_cell_array(dt, "interrupt-map", map, (size_t)lines * CELLS_EACH);
}

/* pci/host-generic-pci.yaml: ECAM, one window of 32-bit memory, MSIs. */
static void write_pci(struct dt_writer *dt, const struct layout *layout)
{
	dt_begin_at(dt, "pcie", layout->ecam_gpa);
	dt_string(dt, "compatible", "pci-host-ecam-generic");
	dt_string(dt, "device_type", "pci");
	dt_cell_sizes(dt, 3, 2);
	dt_cells(dt, "reg", CELLS(layout->ecam_gpa), CELLS(layout->ecam_bytes));
	dt_cells(dt, "bus-range", 0, (uint32_t)(layout->ecam_bytes / MIB) - 1);
	dt_u32(dt, "linux,pci-domain", 0);
	dt_cells(dt, "ranges", PCI_MEMORY_32, CELLS(layout->pci_mmio_gpa),
		 CELLS(layout->pci_mmio_gpa), CELLS(layout->pci_mmio_bytes));
	dt_flag(dt, "dma-coherent");
	dt_cells(dt, "msi-map", 0, PHANDLE_ITS, 0, 0x10000);
	write_intx(dt, layout);
	dt_end(dt);
}

/* serial/8250.yaml: eight one-byte registers. */
static void write_serial(struct dt_writer *dt, const struct layout *layout)
{
	dt_begin_at(dt, "serial", layout->serial_base);
	dt_string(dt, "compatible", "ns16550a");
	dt_cells(dt, "reg", CELLS(layout->serial_base),
		 CELLS(SERIAL_REG_BYTES));
	dt_cells(dt, "interrupts", SPI(layout->serial_gsi));
	dt_u32(dt, "clock-frequency", SERIAL_CLOCK_HZ);
	dt_u32(dt, "reg-shift", 0);
	dt_u32(dt, "reg-io-width", 1);
	dt_end(dt);
}

/* rtc/arm,pl031.yaml, and the clock that AMBA devices require. */
static void write_rtc(struct dt_writer *dt, const struct layout *layout)
{
	dt_begin(dt, "apb-clock");
	dt_string(dt, "compatible", "fixed-clock");
	dt_u32(dt, "#clock-cells", 0);
	dt_u32(dt, "clock-frequency", APB_CLOCK_HZ);
	dt_u32(dt, "phandle", PHANDLE_APB_CLOCK);
	dt_end(dt);
	dt_begin_at(dt, "rtc", layout->rtc_gpa);
	dt_strings(dt, "compatible", "arm,pl031\0arm,primecell");
	dt_cells(dt, "reg", CELLS(layout->rtc_gpa), CELLS(RTC_REG_BYTES));
	dt_cells(dt, "interrupts", SPI(layout->rtc_gsi));
	dt_u32(dt, "clocks", PHANDLE_APB_CLOCK);
	dt_string(dt, "clock-names", "apb_pclk");
	dt_end(dt);
}

/*
 * rng/microsoft,vmgenid.yaml, read by Linux since 6.10.  A bus node, because two
 * children of one node must not have the same address, here that of RAM.
 */
static void write_generation(struct dt_writer *dt, const struct layout *layout)
{
	dt_begin(dt, "bus");
	dt_string(dt, "compatible", "simple-bus");
	dt_cell_sizes(dt, 2, 2);
	dt_flag(dt, "ranges");
	dt_begin_at(dt, "rng", layout->generation_gpa);
	dt_string(dt, "compatible", "microsoft,vmgenid");
	dt_cells(dt, "reg", CELLS(layout->generation_gpa), CELLS(PAGE_BYTES));
	dt_cells(dt, "interrupts", EDGE_SPI(layout->event_gsi));
	dt_end(dt);
	dt_end(dt);
}

/* input/gpio-keys.yaml: a key with an interrupt instead of a GPIO. */
static void write_power_button(struct dt_writer *dt)
{
	dt_begin(dt, "gpio-keys");
	dt_string(dt, "compatible", "gpio-keys");
	dt_begin(dt, "key-power");
	dt_string(dt, "label", "Power Button");
	dt_u32(dt, "linux,code", KEY_POWER);
	dt_cells(dt, "interrupts", EDGE_SPI(ARM64_BUTTON_SPI));
	dt_end(dt);
	dt_end(dt);
}

static void write_root(struct dt_writer *dt, const struct fdt_config *config)
{
	dt_begin(dt, "");
	dt_string(dt, "compatible", "linux,dummy-virt");
	dt_string(dt, "model", "thaw");
	dt_cell_sizes(dt, 2, 2);
	dt_u32(dt, "interrupt-parent", PHANDLE_GIC);
	write_chosen(dt, config);
	for (unsigned int i = 0; i < config->range_count; i++)
		write_memory(dt, config->ranges[i]);
	write_reserved(dt);
	write_cpus(dt, config);
	write_psci(dt);
	write_timer(dt);
	if (config->has_pmu)
		write_pmu(dt);
	write_gic(dt, config);
	write_pci(dt, config->layout);
	if (config->has_serial)
		write_serial(dt, config->layout);
	write_rtc(dt, config->layout);
	write_generation(dt, config->layout);
	write_power_button(dt);
	dt_end(dt);
}

/* Writes the tree to a block of @room bytes; 0 or -FDT_ERR_*. */
static int write_tree(void *block, size_t room, const struct fdt_config *config)
{
	struct dt_writer dt = { .block = block };

	dt_note(&dt, fdt_create(block, (int)room));
	dt_note(&dt, fdt_finish_reservemap(block));
	write_root(&dt, config);
	dt_note(&dt, fdt_finish(block));
	return dt.err;
}

int arm64_fdt_build(const struct fdt_config *config, void **fdt,
		    size_t *len_bytes)
{
	for (size_t room = FIRST_BYTES; room <= ARM64_FDT_BYTES_MAX;
	     room *= 2) {
		void *block = calloc(1, room);
		int err;

		if (block == NULL)
			return log_errno(ENOMEM, "build the device tree");
		err = write_tree(block, room, config);
		if (err == 0) {
			*fdt = block;
			*len_bytes = fdt_totalsize(block);
			return 0;
		}
		free(block);
		if (err != -FDT_ERR_NOSPACE)
			return log_fail(EINVAL, "build the device tree: %s",
					fdt_strerror(err));
	}
	return log_fail(EFBIG, "device tree exceeds 2 MiB: the kernel command "
			       "line is too long");
}
