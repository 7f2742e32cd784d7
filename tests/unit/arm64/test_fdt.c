/* SPDX-License-Identifier: BSD-2-Clause */
/* arm64-fdt: the device tree, parsed by libfdt. */
#include <errno.h>
#include <libfdt.h>
#include <stdlib.h>

#include "tests/unit/arm64/fdt_sample.h"
#include "tests/unit/boot/helper.h"

/* A tree and its machine. */
struct tree {
	struct fdt_sample sample;
	void *fdt;
	size_t len;
};

/* Builds the tree of the sample. */
static void tree_build(struct tree *t)
{
	assert_int_equal(arm64_fdt_build(&t->sample.config, &t->fdt, &t->len),
			 0);
	assert_int_equal(fdt_check_full(t->fdt, t->len), 0);
}

static void tree_init(struct tree *t, unsigned int cpus)
{
	fdt_sample_init(&t->sample, cpus);
	tree_build(t);
}

/* The node at @path, which must exist. */
static int node(const struct tree *t, const char *path)
{
	int n = fdt_path_offset(t->fdt, path);

	if (n < 0)
		fail_msg("no node %s", path);
	return n;
}

/* Cell @i of a property, which must exist. */
static uint32_t cell(const struct tree *t, const char *path, const char *name,
		     int i)
{
	int len;
	const uint8_t *p = fdt_getprop(t->fdt, node(t, path), name, &len);

	if (p == NULL || len < (i + 1) * 4)
		fail_msg("no cell %d in %s of %s", i, name, path);
	return (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
	       (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
}

/* Two cells, starting at @i, as one number. */
static uint64_t pair(const struct tree *t, const char *path, const char *name,
		     int i)
{
	return (uint64_t)cell(t, path, name, i) << 32 |
	       cell(t, path, name, i + 1);
}

/* The number of cells of a property. */
static int cells(const struct tree *t, const char *path, const char *name)
{
	int len = -1;

	fdt_getprop(t->fdt, node(t, path), name, &len);
	return len / 4;
}

static void check_string(const struct tree *t, const char *path,
			 const char *name, const char *want)
{
	const char *s = fdt_getprop(t->fdt, node(t, path), name, NULL);

	assert_non_null(s);
	assert_string_equal(s, want);
}

/* The memory node covers all of RAM, also above 4 GiB. */
static void test_memory(void **state)
{
	static const char path[] = "/memory@40000000";
	struct tree t;

	(void)state;
	tree_init(&t, 1);
	assert_int_equal(pair(&t, path, "reg", 0), ARM64_RAM_GPA);
	assert_int_equal(pair(&t, path, "reg", 2), SAMPLE_RAM_BYTES);
	check_string(&t, path, "device_type", "memory");
	free(t.fdt);
}

/* The start of RAM, with the generation id, is reserved and no-map. */
static void test_reserved(void **state)
{
	static const char path[] = "/reserved-memory/machine@40000000";
	uint64_t start, bytes;
	struct tree t;
	int len = -1;

	(void)state;
	tree_init(&t, 1);
	assert_int_equal(cell(&t, "/reserved-memory", "#address-cells", 0), 2);
	assert_int_equal(cell(&t, "/reserved-memory", "#size-cells", 0), 2);
	assert_non_null(fdt_getprop(t.fdt, node(&t, "/reserved-memory"),
				    "ranges", &len));
	assert_int_equal(len, 0);
	assert_non_null(fdt_getprop(t.fdt, node(&t, path), "no-map", NULL));
	start = pair(&t, path, "reg", 0);
	bytes = pair(&t, path, "reg", 2);
	assert_true(t.sample.layout.generation_gpa >= start);
	assert_true(t.sample.layout.generation_gpa + PAGE_BYTES <=
		    start + bytes);
	/* Whole pages of any size, below the kernel. */
	assert_int_equal((start | bytes) % 0x10000, 0);
	assert_true(start + bytes <= ARM64_KERNEL_GPA);
	free(t.fdt);
}

/* /chosen: parameters, initrd, seeds, console. */
static void test_chosen(void **state)
{
	struct tree t;
	const void *seed;
	int len;

	(void)state;
	tree_init(&t, 1);
	check_string(&t, "/chosen", "bootargs", "console=ttyS0 quiet");
	check_string(&t, "/chosen", "stdout-path", "/serial@9000000");
	node(&t, "/serial@9000000");
	assert_int_equal(pair(&t, "/chosen", "linux,initrd-start", 0),
			 SAMPLE_INITRD_GPA);
	assert_int_equal(pair(&t, "/chosen", "linux,initrd-end", 0),
			 SAMPLE_INITRD_GPA + SAMPLE_INITRD_BYTES);
	assert_int_equal(pair(&t, "/chosen", "kaslr-seed", 0), SAMPLE_KASLR);
	seed = fdt_getprop(t.fdt, node(&t, "/chosen"), "rng-seed", &len);
	assert_int_equal(len, FDT_RNG_SEED_BYTES);
	assert_memory_equal(seed, t.sample.seed, FDT_RNG_SEED_BYTES);
	free(t.fdt);
}

/* Without initrd, serial port and PMU, the tree has none of them. */
static void test_bare(void **state)
{
	struct tree t;

	(void)state;
	fdt_sample_init(&t.sample, 1);
	t.sample.config.initrd_bytes = 0;
	t.sample.config.has_serial = false;
	t.sample.config.has_pmu = false;
	t.sample.config.cmdline = "";
	tree_build(&t);
	assert_null(fdt_getprop(t.fdt, node(&t, "/chosen"),
				"linux,initrd-start", NULL));
	assert_null(
		fdt_getprop(t.fdt, node(&t, "/chosen"), "stdout-path", NULL));
	check_string(&t, "/chosen", "bootargs", "");
	assert_true(fdt_path_offset(t.fdt, "/serial@9000000") < 0);
	assert_true(fdt_path_offset(t.fdt, "/pmu") < 0);
	free(t.fdt);
}

/* Every vCPU has a node with its MPIDR, and a redistributor. */
static void test_cpus(void **state)
{
	static const unsigned int counts[] = { 1, 2, 16, 17, 255 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		struct tree t;
		char path[32];
		unsigned int last = counts[i] - 1;

		tree_init(&t, counts[i]);
		snprintf(path, sizeof(path), "/cpus/cpu@%x",
			 (last >> 4) << 8 | (last & 15));
		check_string(&t, path, "enable-method", "psci");
		check_string(&t, path, "device_type", "cpu");
		assert_int_equal(cell(&t, path, "reg", 0),
				 t.sample.mpidrs[last] & 0xffffff);
		snprintf(path, sizeof(path), "/cpus/cpu@%x",
			 (counts[i] >> 4) << 8 | (counts[i] & 15));
		assert_true(fdt_path_offset(t.fdt, path) < 0);
		assert_int_equal(pair(&t, "/interrupt-controller@8000000",
				      "reg", 6),
				 counts[i] * ARM64_GICR_STRIDE);
		free(t.fdt);
	}
}

/* PSCI uses HVC. */
static void test_psci(void **state)
{
	struct tree t;

	(void)state;
	tree_init(&t, 2);
	check_string(&t, "/psci", "method", "hvc");
	assert_int_equal(fdt_node_check_compatible(t.fdt, node(&t, "/psci"),
						   "arm,psci-0.2"),
			 0);
	free(t.fdt);
}

/* The PPIs of timers and PMU are those of KVM. */
static void test_private_interrupts(void **state)
{
	static const uint32_t ppis[] = { 13, 14, 11, 10 };
	struct tree t;

	(void)state;
	tree_init(&t, 2);
	assert_int_equal(cells(&t, "/timer", "interrupts"), 12);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(cell(&t, "/timer", "interrupts", 3 * i), 1);
		assert_int_equal(cell(&t, "/timer", "interrupts", 3 * i + 1),
				 ppis[i]);
		assert_int_equal(cell(&t, "/timer", "interrupts", 3 * i + 2),
				 4);
	}
	assert_int_equal(cell(&t, "/pmu", "interrupts", 1), 7);
	free(t.fdt);
}

/* ECAM, the BAR window, and MSIs by the ITS. */
static void test_pci(void **state)
{
	static const char path[] = "/pcie@f000000";
	struct tree t;
	uint32_t its;

	(void)state;
	tree_init(&t, 2);
	assert_int_equal(pair(&t, path, "reg", 0), ARM64_ECAM_GPA);
	assert_int_equal(pair(&t, path, "reg", 2), MIB);
	assert_int_equal(cell(&t, path, "bus-range", 0), 0);
	assert_int_equal(cell(&t, path, "bus-range", 1), 0);
	assert_int_equal(cells(&t, path, "ranges"), 7);
	assert_int_equal(cell(&t, path, "ranges", 0), 0x02000000);
	assert_int_equal(pair(&t, path, "ranges", 1), ARM64_PCI_MMIO_GPA);
	assert_int_equal(pair(&t, path, "ranges", 3), ARM64_PCI_MMIO_GPA);
	assert_int_equal(pair(&t, path, "ranges", 5), ARM64_PCI_MMIO_BYTES);
	its = cell(&t, path, "msi-map", 1);
	assert_int_equal(fdt_node_offset_by_phandle(t.fdt, its),
			 node(&t, "/interrupt-controller@8000000/"
				  "msi-controller@8100000"));
	assert_non_null(
		fdt_getprop(t.fdt, node(&t, path), "dma-coherent", NULL));
	free(t.fdt);
}

/* Pin A of slot n is line intx_first + n % intx_count. */
static void test_intx(void **state)
{
	static const char path[] = "/pcie@f000000";
	struct tree t;
	uint32_t mask;

	(void)state;
	tree_init(&t, 2);
	mask = cell(&t, path, "interrupt-map-mask", 0);
	assert_int_equal(cells(&t, path, "interrupt-map"), 4 * 10);
	for (uint32_t slot = 0; slot < 32; slot++) {
		int found = 0;

		for (int i = 0; i < 4; i++) {
			if (cell(&t, path, "interrupt-map", 10 * i) !=
				    (slot << 11 & mask) ||
			    cell(&t, path, "interrupt-map", 10 * i + 3) != 1)
				continue;
			found++;
			assert_int_equal(
				fdt_node_offset_by_phandle(t.fdt,
							   cell(&t, path,
								"interrupt-map",
								10 * i + 4)),
				node(&t, "/interrupt-controller@8000000"));
			assert_int_equal(cell(&t, path, "interrupt-map",
					      10 * i + 7),
					 0);
			assert_int_equal(cell(&t, path, "interrupt-map",
					      10 * i + 8),
					 t.sample.layout.intx_first + slot % 4);
			assert_int_equal(cell(&t, path, "interrupt-map",
					      10 * i + 9),
					 4);
		}
		assert_int_equal(found, 1);
	}
	free(t.fdt);
}

/* Properties of serial port and RTC that their drivers require. */
static void test_devices(void **state)
{
	struct tree t;
	uint32_t clock;

	(void)state;
	tree_init(&t, 2);
	check_string(&t, "/serial@9000000", "compatible", "ns16550a");
	assert_int_equal(cell(&t, "/serial@9000000", "interrupts", 0), 0);
	assert_int_equal(cell(&t, "/serial@9000000", "interrupts", 1),
			 t.sample.layout.serial_gsi);
	assert_int_equal(cell(&t, "/serial@9000000", "clock-frequency", 0),
			 1843200);
	assert_int_equal(cell(&t, "/serial@9000000", "reg-shift", 0), 0);
	assert_int_equal(pair(&t, "/rtc@9001000", "reg", 0),
			 t.sample.layout.rtc_gpa);
	assert_int_equal(fdt_node_check_compatible(t.fdt,
						   node(&t, "/rtc@9001000"),
						   "arm,primecell"),
			 0);
	clock = cell(&t, "/rtc@9001000", "clocks", 0);
	assert_int_equal(fdt_node_offset_by_phandle(t.fdt, clock),
			 node(&t, "/apb-clock"));
	free(t.fdt);
}

/* Generation id and power button have a separate edge interrupt each. */
static void test_notices(void **state)
{
	static const char id[] = "/bus/rng@40000000",
			  key[] = "/gpio-keys/key-power";
	struct tree t;

	(void)state;
	tree_init(&t, 1);
	check_string(&t, id, "compatible", "microsoft,vmgenid");
	assert_int_equal(pair(&t, id, "reg", 0),
			 t.sample.layout.generation_gpa);
	assert_int_equal(cell(&t, id, "interrupts", 1),
			 t.sample.layout.event_gsi);
	assert_int_equal(cell(&t, id, "interrupts", 2), 1);
	assert_int_equal(cell(&t, key, "linux,code", 0), 116);
	assert_int_equal(cell(&t, key, "interrupts", 1), ARM64_BUTTON_SPI);
	assert_int_equal(cell(&t, key, "interrupts", 2), 1);
	free(t.fdt);
}

/* A long command line grows the tree; one beyond the limit is refused. */
static void test_long_command_line(void **state)
{
	char *line = malloc(3 * MIB);
	struct capture capture;
	struct tree t;

	(void)state;
	assert_non_null(line);
	memset(line, 'x', 3 * MIB);
	line[100000] = '\0';
	fdt_sample_init(&t.sample, 2);
	t.sample.config.cmdline = line;
	tree_build(&t);
	check_string(&t, "/chosen", "bootargs", line);
	free(t.fdt);
	line[100000] = 'x';
	line[3 * MIB - 1] = '\0';
	capture_begin(&capture);
	assert_int_equal(arm64_fdt_build(&t.sample.config, &t.fdt, &t.len),
			 -EFBIG);
	capture_one_line(&capture, "command line");
	free(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_chosen),
		cmocka_unit_test(test_bare),
		cmocka_unit_test(test_cpus),
		cmocka_unit_test(test_psci),
		cmocka_unit_test(test_private_interrupts),
		cmocka_unit_test(test_pci),
		cmocka_unit_test(test_intx),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_notices),
		cmocka_unit_test(test_long_command_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
