/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes the device tree front to back with libfdt's sequential functions.
 *
 * Those return an error code each.  A struct fdt_out carries the first one, so
 * that the writing reads as a list of what is in the tree; a block that turns
 * out too small is tried again at twice the size.
 *
 * Bindings: Documentation/devicetree/bindings/ of the Linux kernel, the file
 * named above each function.
 */
#include <endian.h>
#include <errno.h>
#include <libfdt.h>
#include <linux/input-event-codes.h>
#include <stdio.h>
#include <stdlib.h>

#include "arch/arm64/fdt.h"
#include "arch/arm64/layout.h"
#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

/* Phandles: one for each node that another one points to. */
enum { PHANDLE_GIC = 1, PHANDLE_ITS, PHANDLE_APB_CLOCK };

/* Interrupt specifiers (interrupt-controller/arm,gic-v3.yaml). */
enum { GIC_SPI = 0, GIC_PPI = 1 };
enum { IRQ_EDGE_RISING = 1, IRQ_LEVEL_HIGH = 4 };

/* A #address-cells and #size-cells of two: an address or a size. */
#define CELLS(x) (uint32_t)((uint64_t)(x) >> 32), (uint32_t)(x)

#define SERIAL_REG_BYTES 8
#define SERIAL_CLOCK_HZ	 1843200 /* PC16550D data sheet, 8.5 */
#define RTC_REG_BYTES	 0x1000 /* with the PrimeCell ids at its end */
#define APB_CLOCK_HZ	 24000000

/* PCI address cells: space code of 32-bit memory (IEEE 1275 PCI, 2.2.1.1). */
#define PCI_MEMORY_32	 0x02000000
#define PCI_DEVICE_SHIFT 11
#define PCI_INTA	 1

#define FIRST_BYTES 16384

struct fdt_out {
	void *block;
	int err; /* the first FDT_ERR_*, 0 so far */
};

/* Keeps the first error of all calls. */
static void note(struct fdt_out *out, int err)
{
	if (out->err == 0 && err < 0)
		out->err = err;
}

/* Opens a node; one with an address gets it into its name. */
static void begin(struct fdt_out *out, const char *name)
{
	note(out, fdt_begin_node(out->block, name));
}

static void begin_at(struct fdt_out *out, const char *name, uint64_t at)
{
	char full[64];

	snprintf(full, sizeof(full), "%s@%llx", name, (unsigned long long)at);
	begin(out, full);
}

static void end(struct fdt_out *out)
{
	note(out, fdt_end_node(out->block));
}

/* One property each, of bytes, nothing, a string, or a number. */
static void put_bytes(struct fdt_out *out, const char *name, const void *data,
		      size_t len)
{
	if (len > INT32_MAX)
		note(out, -FDT_ERR_NOSPACE);
	else
		note(out, fdt_property(out->block, name, data, (int)len));
}

static void put_flag(struct fdt_out *out, const char *name)
{
	put_bytes(out, name, NULL, 0);
}

static void put_string(struct fdt_out *out, const char *name, const char *s)
{
	put_bytes(out, name, s, strlen(s) + 1);
}

static void put_u32(struct fdt_out *out, const char *name, uint32_t v)
{
	note(out, fdt_property_u32(out->block, name, v));
}

static void put_u64(struct fdt_out *out, const char *name, uint64_t v)
{
	note(out, fdt_property_u64(out->block, name, v));
}

/* A property of several cells, which the tree has big-endian. */
static void put_cell_array(struct fdt_out *out, const char *name,
			   const uint32_t *cells, size_t count)
{
	uint32_t big[64];

	if (count > ARRAY_SIZE(big)) {
		note(out, -FDT_ERR_INTERNAL);
		return;
	}
	for (size_t i = 0; i < count; i++)
		big[i] = htobe32(cells[i]);
	put_bytes(out, name, big, count * sizeof(big[0]));
}

#define put_cells(out, name, ...)                                    \
	put_cell_array(out, name, (const uint32_t[]){ __VA_ARGS__ }, \
		       ARRAY_SIZE(((const uint32_t[]){ __VA_ARGS__ })))

/* Several strings in one property: an array of chars with NULs in between. */
#define put_strings(out, name, s) put_bytes(out, name, s, sizeof(s))

/* The cells that say how addresses below this node are written. */
static void put_cell_sizes(struct fdt_out *out, uint32_t address, uint32_t size)
{
	put_u32(out, "#address-cells", address);
	put_u32(out, "#size-cells", size);
}

/* chosen.yaml of dt-schema: the command line, the initrd, seeds. */
static void write_chosen(struct fdt_out *out, const struct fdt_config *config)
{
	char path[64];

	begin(out, "chosen");
	put_string(out, "bootargs", config->cmdline);
	if (config->has_serial) {
		snprintf(path, sizeof(path), "/serial@%llx",
			 (unsigned long long)config->layout->serial_base);
		put_string(out, "stdout-path", path);
	}
	if (config->initrd_bytes != 0) {
		put_u64(out, "linux,initrd-start", config->initrd_gpa);
		put_u64(out, "linux,initrd-end",
			config->initrd_gpa + config->initrd_bytes);
	}
	put_u64(out, "kaslr-seed", config->kaslr_seed);
	put_bytes(out, "rng-seed", config->rng_seed, FDT_RNG_SEED_BYTES);
	end(out);
}

/* memory.yaml of dt-schema. */
static void write_memory(struct fdt_out *out, struct memory_range range)
{
	begin_at(out, "memory", range.gpa);
	put_string(out, "device_type", "memory");
	put_cells(out, "reg", CELLS(range.gpa), CELLS(range.size_bytes));
	end(out);
}

/*
 * reserved-memory.yaml of dt-schema: RAM that is the machine's own.  no-map,
 * because the driver of the generation id maps its page as a device's, which
 * Linux refuses for memory that it has mapped itself.
 */
static void write_reserved(struct fdt_out *out)
{
	begin(out, "reserved-memory");
	put_cell_sizes(out, 2, 2);
	put_flag(out, "ranges");
	begin_at(out, "machine", ARM64_RAM_GPA);
	put_cells(out, "reg", CELLS(ARM64_RAM_GPA), CELLS(ARM64_OWN_BYTES));
	put_flag(out, "no-map");
	end(out);
	end(out);
}

/* arm/cpus.yaml; the number of a CPU is its MPIDR's affinity. */
static void write_cpus(struct fdt_out *out, const struct fdt_config *config)
{
	begin(out, "cpus");
	put_cell_sizes(out, 1, 0);
	for (unsigned int i = 0; i < config->cpu_count; i++) {
		uint32_t affinity = config->mpidrs[i] & 0xffffff;

		begin_at(out, "cpu", affinity);
		put_string(out, "device_type", "cpu");
		put_string(out, "compatible", "arm,armv8");
		put_string(out, "enable-method", "psci");
		put_u32(out, "reg", affinity);
		end(out);
	}
	end(out);
}

/* arm/psci.yaml; the functions' numbers are PSCI 0.2's own. */
static void write_psci(struct fdt_out *out)
{
	begin(out, "psci");
	put_strings(out, "compatible", "arm,psci-1.0\0arm,psci-0.2");
	put_string(out, "method", "hvc");
	end(out);
}

/* A PPI as an interrupt specifier. */
#define PPI(intid)  GIC_PPI, (intid)-ARM64_PPI_INTID, IRQ_LEVEL_HIGH
#define SPI(n)	    GIC_SPI, (n), IRQ_LEVEL_HIGH
#define EDGE_SPI(n) GIC_SPI, (n), IRQ_EDGE_RISING

/* timer/arm,arch_timer.yaml: secure, non-secure, virtual, hypervisor. */
static void write_timer(struct fdt_out *out)
{
	begin(out, "timer");
	put_string(out, "compatible", "arm,armv8-timer");
	put_cells(out, "interrupts", PPI(ARM64_PTIMER_SECURE_INTID),
		  PPI(ARM64_PTIMER_INTID), PPI(ARM64_VTIMER_INTID),
		  PPI(ARM64_HTIMER_INTID));
	put_flag(out, "always-on");
	end(out);
}

/* arm/pmu.yaml. */
static void write_pmu(struct fdt_out *out)
{
	begin(out, "pmu");
	put_string(out, "compatible", "arm,armv8-pmuv3");
	put_cells(out, "interrupts", PPI(ARM64_PMU_INTID));
	end(out);
}

/* interrupt-controller/arm,gic-v3.yaml, with the ITS as its child. */
static void write_gic(struct fdt_out *out, const struct fdt_config *config)
{
	begin_at(out, "interrupt-controller", ARM64_GICD_GPA);
	put_string(out, "compatible", "arm,gic-v3");
	put_u32(out, "#interrupt-cells", 3);
	put_flag(out, "interrupt-controller");
	put_cell_sizes(out, 2, 2);
	put_flag(out, "ranges");
	put_cells(out, "reg", CELLS(ARM64_GICD_GPA), CELLS(ARM64_GICD_BYTES),
		  CELLS(ARM64_GICR_GPA),
		  CELLS(ARM64_GICR_STRIDE * config->cpu_count));
	put_u32(out, "phandle", PHANDLE_GIC);
	begin_at(out, "msi-controller", ARM64_ITS_GPA);
	put_string(out, "compatible", "arm,gic-v3-its");
	put_flag(out, "msi-controller");
	put_u32(out, "#msi-cells", 1);
	put_cells(out, "reg", CELLS(ARM64_ITS_GPA), CELLS(ARM64_ITS_BYTES));
	put_u32(out, "phandle", PHANDLE_ITS);
	end(out);
	end(out);
}

/*
 * The interrupt-map of pci.txt: slot n, pin A, is line n % intx_count.  The
 * functions have no other pin.
 */
static void write_intx(struct fdt_out *out, const struct layout *layout)
{
	enum { CELLS_EACH = 3 + 1 + 1 + 2 + 3, LINES_MAX = 6 };
	uint32_t map[CELLS_EACH * LINES_MAX] = { 0 };
	uint32_t lines = layout->intx_count;

	if (lines > LINES_MAX || !is_power_of_two(lines)) {
		note(out, -FDT_ERR_INTERNAL);
		return;
	}
	for (uint32_t n = 0; n < lines; n++) {
		const uint32_t entry[CELLS_EACH] = {
			/* a slot's number is in the first of three cells */
			n << PCI_DEVICE_SHIFT, 0, 0, PCI_INTA,
			PHANDLE_GIC,	       0, 0, SPI(layout->intx_first + n)
		};

		memcpy(map + n * CELLS_EACH, entry, sizeof(entry));
	}
	put_u32(out, "#interrupt-cells", 1);
	put_cells(out, "interrupt-map-mask", (lines - 1) << PCI_DEVICE_SHIFT, 0,
		  0, 7);
	put_cell_array(out, "interrupt-map", map, (size_t)lines * CELLS_EACH);
}

/* pci/host-generic-pci.yaml: ECAM, one window of 32-bit memory, MSIs. */
static void write_pci(struct fdt_out *out, const struct layout *layout)
{
	begin_at(out, "pcie", layout->ecam_gpa);
	put_string(out, "compatible", "pci-host-ecam-generic");
	put_string(out, "device_type", "pci");
	put_cell_sizes(out, 3, 2);
	put_cells(out, "reg", CELLS(layout->ecam_gpa),
		  CELLS(layout->ecam_bytes));
	put_cells(out, "bus-range", 0,
		  (uint32_t)(layout->ecam_bytes / MIB) - 1);
	put_u32(out, "linux,pci-domain", 0);
	put_cells(out, "ranges", PCI_MEMORY_32, CELLS(layout->pci_mmio_gpa),
		  CELLS(layout->pci_mmio_gpa), CELLS(layout->pci_mmio_bytes));
	put_flag(out, "dma-coherent");
	put_cells(out, "msi-map", 0, PHANDLE_ITS, 0, 0x10000);
	write_intx(out, layout);
	end(out);
}

/* serial/8250.yaml: eight registers of one byte. */
static void write_serial(struct fdt_out *out, const struct layout *layout)
{
	begin_at(out, "serial", layout->serial_base);
	put_string(out, "compatible", "ns16550a");
	put_cells(out, "reg", CELLS(layout->serial_base),
		  CELLS(SERIAL_REG_BYTES));
	put_cells(out, "interrupts", SPI(layout->serial_gsi));
	put_u32(out, "clock-frequency", SERIAL_CLOCK_HZ);
	put_u32(out, "reg-shift", 0);
	put_u32(out, "reg-io-width", 1);
	end(out);
}

/* rtc/arm,pl031.yaml, and the clock that an AMBA device must have. */
static void write_rtc(struct fdt_out *out, const struct layout *layout)
{
	begin(out, "apb-clock");
	put_string(out, "compatible", "fixed-clock");
	put_u32(out, "#clock-cells", 0);
	put_u32(out, "clock-frequency", APB_CLOCK_HZ);
	put_u32(out, "phandle", PHANDLE_APB_CLOCK);
	end(out);
	begin_at(out, "rtc", layout->rtc_gpa);
	put_strings(out, "compatible", "arm,pl031\0arm,primecell");
	put_cells(out, "reg", CELLS(layout->rtc_gpa), CELLS(RTC_REG_BYTES));
	put_cells(out, "interrupts", SPI(layout->rtc_gsi));
	put_u32(out, "clocks", PHANDLE_APB_CLOCK);
	put_string(out, "clock-names", "apb_pclk");
	end(out);
}

/*
 * rng/microsoft,vmgenid.yaml; Linux reads it since 6.10.  Its address is that of
 * RAM, and two children of one node must not have the same: hence the bus.
 */
static void write_generation(struct fdt_out *out, const struct layout *layout)
{
	begin(out, "bus");
	put_string(out, "compatible", "simple-bus");
	put_cell_sizes(out, 2, 2);
	put_flag(out, "ranges");
	begin_at(out, "rng", layout->generation_gpa);
	put_string(out, "compatible", "microsoft,vmgenid");
	put_cells(out, "reg", CELLS(layout->generation_gpa), CELLS(PAGE_BYTES));
	put_cells(out, "interrupts", EDGE_SPI(layout->event_gsi));
	end(out);
	end(out);
}

/* input/gpio-keys.yaml: a key that is an interrupt and has no GPIO. */
static void write_power_button(struct fdt_out *out)
{
	begin(out, "gpio-keys");
	put_string(out, "compatible", "gpio-keys");
	begin(out, "key-power");
	put_string(out, "label", "Power Button");
	put_u32(out, "linux,code", KEY_POWER);
	put_cells(out, "interrupts", EDGE_SPI(ARM64_BUTTON_SPI));
	end(out);
	end(out);
}

static void write_root(struct fdt_out *out, const struct fdt_config *config)
{
	begin(out, "");
	put_string(out, "compatible", "linux,dummy-virt");
	put_string(out, "model", "thaw");
	put_cell_sizes(out, 2, 2);
	put_u32(out, "interrupt-parent", PHANDLE_GIC);
	write_chosen(out, config);
	for (unsigned int i = 0; i < config->range_count; i++)
		write_memory(out, config->ranges[i]);
	write_reserved(out);
	write_cpus(out, config);
	write_psci(out);
	write_timer(out);
	if (config->has_pmu)
		write_pmu(out);
	write_gic(out, config);
	write_pci(out, config->layout);
	if (config->has_serial)
		write_serial(out, config->layout);
	write_rtc(out, config->layout);
	write_generation(out, config->layout);
	write_power_button(out);
	end(out);
}

/* One attempt in a block of @room bytes; 0 or FDT_ERR_*. */
static int write_tree(void *block, size_t room, const struct fdt_config *config)
{
	struct fdt_out out = { .block = block };

	note(&out, fdt_create(block, (int)room));
	note(&out, fdt_finish_reservemap(block));
	write_root(&out, config);
	note(&out, fdt_finish(block));
	return out.err;
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
	return log_fail(EFBIG, "the device tree does not fit into 2 MiB: the "
			       "command line is too long");
}
