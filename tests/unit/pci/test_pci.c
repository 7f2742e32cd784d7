// SPDX-License-Identifier: BSD-2-Clause
/*
 * The PCI host and functions on a real bus, driven as a guest would drive them:
 * by ECAM and BAR accesses.  Two functions with a BAR of 4 KiB and four MSI-X
 * vectors sit in slots 1 and 2.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/base/bytes.h"
#include "vmm/bus/bus.h"
#include "vmm/bus/device.h"
#include "vmm/bus/irq.h"
#include "vmm/pci/private.h"
#include "vmm/snap/section.h"

#define ECAM	    UINT64_C(0xe0000000)
#define WINDOW	    UINT64_C(0xe1000000)
#define WINDOW_SIZE (16 * MIB)
#define BAR_SIZE    4096u
#define VECTORS	    4
#define INTX_FIRST  16

struct card {
	struct pci_function function;
	uint8_t bytes[BAR_SIZE]; /* what the BAR holds */
	bool decoded;
	gpa_t gpa;
};

struct world {
	struct bus bus;
	struct irqs irqs;
	struct pci_host *host;
	struct card cards[2];
	int stderr_fd; /* where standard error went, while it is quiet */
};

/* Discards log lines, of which thousands are expected. */
static void quiet(struct world *w)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	w->stderr_fd = dup(STDERR_FILENO);
	dup2(null, STDERR_FILENO);
	close(null);
}

static void quiet_end(struct world *w)
{
	if (w->stderr_fd < 0)
		return;
	dup2(w->stderr_fd, STDERR_FILENO);
	close(w->stderr_fd);
	w->stderr_fd = -1;
}

static uint32_t same_line(uint32_t gsi)
{
	return gsi;
}

static size_t no_routes(struct kvm_irq_routing_entry *entries, size_t room)
{
	(void)entries;
	(void)room;
	return 0;
}

static const struct irq_map irq_map = {
	.line_count = 24,
	.msi_first = 24,
	.line_encode = same_line,
	.line_routes = no_routes,
};

static uint64_t card_read(void *ctx, unsigned int bar, uint64_t offset,
			  unsigned int size)
{
	struct card *card = ctx;

	assert_int_equal(bar, 0);
	assert_true(range_within(offset, size, BAR_SIZE));
	return get_le(card->bytes + offset, size);
}

static void card_write(void *ctx, unsigned int bar, uint64_t offset,
		       unsigned int size, uint64_t value)
{
	struct card *card = ctx;

	assert_int_equal(bar, 0);
	assert_true(range_within(offset, size, BAR_SIZE));
	put_le(card->bytes + offset, value, size);
}

static void card_moved(void *ctx, unsigned int bar, gpa_t gpa, bool decoded)
{
	struct card *card = ctx;

	if (bar != 0)
		return;
	assert_true(card->decoded != decoded);
	card->decoded = decoded;
	card->gpa = gpa;
}

static const struct pci_function_ops card_ops = {
	.bar_read = card_read,
	.bar_write = card_write,
	.bar_moved = card_moved,
};

static const struct pci_identity card_identity = {
	.vendor = 0x1234,
	.device = 0x5678,
	.class_code = 0xff0000,
};

static void card_create(struct world *w, struct card *card, const char *name)
{
	struct pci_function *f = &card->function;

	assert_int_equal(pci_function_init(f, &card_identity, name, &card_ops,
					   card),
			 0);
	pci_function_bar(f, 0, BAR_SIZE);
	assert_int_equal(pci_function_msix(f, VECTORS, 1), 0);
	assert_int_equal(pci_function_attach(f, w->host), 0);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct pci_host_config config = {
		.mmio = &w->bus,
		.irqs = &w->irqs,
		.ecam_gpa = ECAM,
		.ecam_bytes = MIB,
		.mmio_gpa = WINDOW,
		.mmio_bytes = WINDOW_SIZE,
		.intx_first = INTX_FIRST,
		.intx_count = 4,
	};

	w->stderr_fd = -1;
	quiet(w);
	assert_int_equal(bus_init(&w->bus), 0);
	assert_int_equal(irqs_init(&w->irqs, NULL, &irq_map), 0);
	assert_int_equal(pci_host_create(&w->host, &config), 0);
	card_create(w, &w->cards[0], "card0");
	card_create(w, &w->cards[1], "card1");
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	struct device host;

	quiet_end(w);
	pci_function_finish(&w->cards[0].function);
	pci_function_finish(&w->cards[1].function);
	pci_host_device(w->host, &host);
	host.ops->destroy(host.state);
	/* No range is left on the bus. */
	assert_int_equal(w->bus.count, 0);
	irqs_finish(&w->irqs);
	bus_finish(&w->bus);
	free(w);
	return 0;
}

/* Config accesses as a guest makes them. */
static uint64_t config_read(struct world *w, unsigned int slot,
			    unsigned int reg, unsigned int size)
{
	uint8_t bytes[8];

	bus_read(&w->bus, ECAM + ((uint64_t)slot << 15) + reg, bytes, size);
	return get_le(bytes, size);
}

static void config_write(struct world *w, unsigned int slot, unsigned int reg,
			 unsigned int size, uint64_t value)
{
	uint8_t bytes[8];

	put_le(bytes, value, size);
	bus_write(&w->bus, ECAM + ((uint64_t)slot << 15) + reg, bytes, size);
}

static uint64_t mmio_read(struct world *w, uint64_t at, unsigned int size)
{
	uint8_t bytes[8];

	bus_read(&w->bus, at, bytes, size);
	return get_le(bytes, size);
}

static void mmio_write(struct world *w, uint64_t at, unsigned int size,
		       uint64_t value)
{
	uint8_t bytes[8];

	put_le(bytes, value, size);
	bus_write(&w->bus, at, bytes, size);
}

static uint32_t bar_get(struct world *w, unsigned int slot, unsigned int bar)
{
	return (uint32_t)config_read(w, slot, PCI_BASE_ADDRESS_0 + 4 * bar, 4);
}

static void bar_set(struct world *w, unsigned int slot, unsigned int bar,
		    uint32_t value)
{
	config_write(w, slot, PCI_BASE_ADDRESS_0 + 4 * bar, 4, value);
}

static void memory_enable(struct world *w, unsigned int slot, bool on)
{
	config_write(w, slot, PCI_COMMAND, 2, on ? PCI_COMMAND_MEMORY : 0);
}

/* Memory is on in either case. */
static void master_enable(struct world *w, unsigned int slot, bool on)
{
	config_write(w, slot, PCI_COMMAND, 2,
		     PCI_COMMAND_MEMORY | (on ? PCI_COMMAND_MASTER : 0));
}

/* The capability @id of a slot, by the list. */
static unsigned int cap_find(struct world *w, unsigned int slot, uint8_t id)
{
	unsigned int at =
		(unsigned int)config_read(w, slot, PCI_CAPABILITY_LIST, 1);

	assert_true(config_read(w, slot, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST);
	for (unsigned int i = 0; at && i < 48; i++) {
		if (config_read(w, slot, at, 1) == id)
			return at;
		at = (unsigned int)config_read(w, slot, at + 1, 1);
	}
	fail_msg("no capability %#x", id);
	return 0;
}

/* How often vector @v of @card fired since last asked. */
static uint64_t fired(struct card *card, unsigned int v)
{
	uint64_t count;

	if (read(card->function.msix.vectors[v].eventfd, &count, 8) < 0)
		return 0;
	return count;
}

static void msix_control(struct world *w, unsigned int slot, uint16_t flags)
{
	config_write(w, slot,
		     cap_find(w, slot, PCI_CAP_ID_MSIX) + PCI_MSIX_FLAGS, 2,
		     flags);
}

static void test_enumerates(void **state)
{
	struct world *w = *state;

	assert_int_equal(config_read(w, 0, PCI_CLASS_DEVICE, 2), 0x0600);
	assert_int_equal(config_read(w, 1, PCI_VENDOR_ID, 4), 0x56781234);
	assert_int_equal(config_read(w, 2, PCI_VENDOR_ID, 4), 0x56781234);
	assert_int_equal(config_read(w, 1, PCI_HEADER_TYPE, 1), 0);
	assert_int_equal(config_read(w, 1, PCI_INTERRUPT_PIN, 1), 1);
	assert_int_equal(config_read(w, 1, PCI_INTERRUPT_LINE, 1),
			 INTX_FIRST + 1);
	for (unsigned int slot = 3; slot < 32; slot++)
		assert_int_equal(config_read(w, slot, PCI_VENDOR_ID, 4),
				 UINT32_MAX);
	/* The other functions of a slot. */
	for (unsigned int function = 1; function < 8; function++)
		assert_int_equal(config_read(w, 1, function << 12, 4),
				 UINT32_MAX);
	/* No extended capabilities. */
	assert_int_equal(config_read(w, 1, 0x100, 4), 0);
}

static void test_config_any_access(void **state)
{
	static const unsigned int sizes[] = { 1, 2, 4, 8 };
	struct world *w = *state;
	struct pci_function *f = &w->cards[0].function;
	uint8_t image[4096 + 8] = { 0 };

	memcpy(image, f->config, PCI_CONFIG_BYTES);
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		unsigned int size = sizes[s];

		for (unsigned int reg = 0; reg + size <= 4096; reg++) {
			assert_int_equal(config_read(w, 1, reg, size),
					 get_le(image + reg, size));
			config_write(w, 1, reg, size, UINT64_MAX);
			config_write(w, 1, reg, size, 0);
			config_write(w, 1, reg, size, 0xa5a5a5a5a5a5a5a5);
			for (unsigned int i = 0; i < PCI_CONFIG_BYTES; i++)
				assert_int_equal((f->config[i] ^ image[i]) &
							 ~f->writable[i] & 0xff,
						 0);
			pci_function_reset(f);
		}
		/* Across the end of the function's space. */
		for (unsigned int reg = 4096 - size + 1; reg < 4096; reg++) {
			config_write(w, 1, reg, size, UINT64_MAX);
			assert_int_equal(config_read(w, 1, reg, size),
					 UINT64_MAX >> (64 - 8 * size));
		}
	}
	assert_memory_equal(f->config, image, PCI_CONFIG_BYTES);
}

static void test_bar_sizes_and_moves(void **state)
{
	struct world *w = *state;
	uint32_t first = bar_get(w, 1, 0);

	assert_true(first >= WINDOW && first < WINDOW + WINDOW_SIZE);
	bar_set(w, 1, 0, UINT32_MAX);
	assert_int_equal(bar_get(w, 1, 0), ~(BAR_SIZE - 1));
	bar_set(w, 1, 2, UINT32_MAX);
	assert_int_equal(bar_get(w, 1, 2), 0);
	bar_set(w, 1, 0, first);
	w->cards[0].bytes[8] = 0x42;
	/* Only while memory is enabled. */
	assert_int_equal(mmio_read(w, first + 8, 1), 0xff);
	memory_enable(w, 1, true);
	assert_int_equal(mmio_read(w, first + 8, 1), 0x42);
	mmio_write(w, first + BAR_SIZE - 4, 4, 0x11223344);
	assert_int_equal(get_le32(w->cards[0].bytes + BAR_SIZE - 4),
			 0x11223344);
	bar_set(w, 1, 0, (uint32_t)(WINDOW + WINDOW_SIZE - BAR_SIZE));
	assert_int_equal(mmio_read(w, first + 8, 1), 0xff);
	assert_int_equal(mmio_read(w, WINDOW + WINDOW_SIZE - BAR_SIZE + 8, 1),
			 0x42);
	memory_enable(w, 1, false);
	assert_false(w->cards[0].decoded);
	assert_int_equal(mmio_read(w, WINDOW + WINDOW_SIZE - BAR_SIZE + 8, 1),
			 0xff);
}

static void test_bar_outside_window(void **state)
{
	static const uint32_t places[] = {
		0,
		0x1000,
		(uint32_t)ECAM,
		(uint32_t)(ECAM + 0x8000),
		(uint32_t)WINDOW - BAR_SIZE,
		(uint32_t)(WINDOW + WINDOW_SIZE),
		0xfffff000,
		0x80000000,
	};
	struct world *w = *state;
	unsigned int ranges;

	memory_enable(w, 1, true);
	ranges = w->bus.count;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		bar_set(w, 1, 0, places[i]);
		assert_int_equal(bar_get(w, 1, 0), places[i]);
		assert_false(w->cards[0].decoded);
		assert_int_equal(w->bus.count, ranges - 1);
	}
	/* The config space is where it was. */
	assert_int_equal(config_read(w, 1, PCI_VENDOR_ID, 4), 0x56781234);
	bar_set(w, 1, 0, (uint32_t)WINDOW + 0x100000);
	assert_true(w->cards[0].decoded);
}

static void test_bar_overlap(void **state)
{
	struct world *w = *state;
	uint32_t a = bar_get(w, 1, 0), b = bar_get(w, 2, 0);

	w->cards[0].bytes[0] = 1;
	w->cards[1].bytes[0] = 2;
	memory_enable(w, 1, true);
	memory_enable(w, 2, true);
	/* The BAR decoded first stays; the other is not decoded. */
	bar_set(w, 2, 0, a);
	assert_int_equal(mmio_read(w, a, 1), 1);
	assert_false(w->cards[1].decoded);
	assert_int_equal(mmio_read(w, b, 1), 0xff);
	/* A swap, one register at a time, ends right. */
	bar_set(w, 1, 0, b);
	assert_int_equal(mmio_read(w, a, 1), 2);
	assert_int_equal(mmio_read(w, b, 1), 1);
	/* Both BARs of one function at one place. */
	bar_set(w, 1, 1, b);
	assert_int_equal(mmio_read(w, b, 1), 1);
	memory_enable(w, 1, false);
	memory_enable(w, 1, true);
	bar_set(w, 1, 0, (uint32_t)WINDOW + 0x200000);
	bar_set(w, 1, 1, (uint32_t)WINDOW + 0x300000);
	assert_int_equal(mmio_read(w, WINDOW + 0x200000, 1), 1);
}

/* Invariants of BAR placement. */
static void bus_check(struct world *w)
{
	unsigned int decoded = 0;

	for (unsigned int i = 0; i < w->bus.count; i++) {
		const struct bus_range *r = &w->bus.ranges[i];

		assert_true(i == 0 || r[-1].base + r[-1].size <= r->base);
		assert_true((r->base == ECAM) ||
			    (r->base >= WINDOW &&
			     r->base + r->size <= WINDOW + WINDOW_SIZE));
	}
	for (unsigned int c = 0; c < 2; c++)
		for (unsigned int i = 0; i < PCI_BARS; i++) {
			struct pci_bar *bar = &w->cards[c].function.bars[i];

			if (!bar->decoded)
				continue;
			decoded++;
			assert_int_equal(bar->gpa, bar_get(w, c + 1, i));
		}
	assert_int_equal(w->bus.count, decoded + 1);
	for (unsigned int c = 0; c < 2; c++)
		assert_int_equal(w->cards[c].decoded,
				 w->cards[c].function.bars[0].decoded);
}

static void test_bar_random_moves(void **state)
{
	struct world *w = *state;
	unsigned int seed = 0x7461;

	print_message("seed %#x\n", seed);
	for (unsigned int i = 0; i < 20000; i++) {
		unsigned int slot = 1 + (unsigned int)rand_r(&seed) % 2;
		unsigned int what = (unsigned int)rand_r(&seed) % 8;
		/* Few places, so that they meet often. */
		uint32_t at = (uint32_t)WINDOW - 0x2000 +
			      0x1000 * ((uint32_t)rand_r(&seed) % 8);

		if (what == 0)
			memory_enable(w, slot, rand_r(&seed) & 1);
		else if (what == 1)
			config_write(w, slot, (unsigned int)rand_r(&seed) % 64,
				     1u << (rand_r(&seed) % 4),
				     (uint64_t)rand_r(&seed));
		else
			bar_set(w, slot, what & 1, at);
		bus_check(w);
	}
}

static void test_msix_any_access(void **state)
{
	static const unsigned int sizes[] = { 1, 2, 4, 8 };
	struct world *w = *state;
	struct pci_function *f = &w->cards[0].function;
	uint64_t bar = bar_get(w, 1, 1);

	memory_enable(w, 1, true);
	msix_control(w, 1, PCI_MSIX_FLAGS_ENABLE);
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++)
		for (unsigned int at = 0; at < PCI_MSIX_BAR_SIZE; at++) {
			mmio_write(w, bar + at, sizes[s], UINT64_MAX);
			mmio_read(w, bar + at, sizes[s]);
			mmio_write(w, bar + at, sizes[s], 0x123456789abcdef);
			mmio_read(w, bar + at, sizes[s]);
		}
	/* Beyond the table nothing is kept, and reserved bits stay zero. */
	assert_int_equal(mmio_read(w, bar + 16 * VECTORS, 8), 0);
	for (unsigned int v = 0; v < VECTORS; v++) {
		mmio_write(w, bar + 16 * v + 12, 4, UINT32_MAX);
		assert_int_equal(mmio_read(w, bar + 16 * v + 12, 4), 1);
		mmio_write(w, bar + 16 * v, 4, UINT32_MAX);
		assert_int_equal(mmio_read(w, bar + 16 * v, 4), 0xfffffffc);
	}
	/* The pending bits are the device's. */
	mmio_write(w, bar + PCI_MSIX_PBA_AT, 8, UINT64_MAX);
	assert_int_equal(mmio_read(w, bar + PCI_MSIX_PBA_AT, 8), 0);
	pci_function_reset(f);
	assert_int_equal(f->msix.table[12], PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

static void test_msix_masks(void **state)
{
	struct world *w = *state;
	struct card *card = &w->cards[0];
	struct pci_function *f = &card->function;
	uint64_t bar = bar_get(w, 1, 1);

	master_enable(w, 1, true);
	assert_false(pci_msix_raise(f, 1)); /* off: use INTx */
	mmio_write(w, bar + 16, 8, 0xfee01000);
	mmio_write(w, bar + 16 + 8, 4, 0x4041);
	msix_control(w, 1, PCI_MSIX_FLAGS_ENABLE);
	/* Masked by its own bit, as after power-on. */
	assert_true(pci_msix_raise(f, 1));
	assert_int_equal(fired(card, 1), 0);
	assert_int_equal(mmio_read(w, bar + PCI_MSIX_PBA_AT, 8), 2);
	mmio_write(w, bar + 16 + 12, 4, 0);
	assert_int_equal(fired(card, 1), 1);
	assert_int_equal(mmio_read(w, bar + PCI_MSIX_PBA_AT, 8), 0);
	/* The route matches the table. */
	assert_int_equal(w->irqs.msis[f->msix.vectors[1].gsi - 24].addr,
			 0xfee01000);
	assert_int_equal(w->irqs.msis[f->msix.vectors[1].gsi - 24].data,
			 0x4041);
	assert_int_equal(w->irqs.msis[f->msix.vectors[1].gsi - 24].devid,
			 1 << 3);
	assert_true(pci_msix_raise(f, 1));
	assert_int_equal(fired(card, 1), 1);
	/* The mask of the whole function. */
	msix_control(w, 1, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	assert_true(pci_msix_raise(f, 1));
	assert_true(pci_msix_raise(f, 1));
	assert_int_equal(fired(card, 1), 0);
	assert_false(f->msix.vectors[1].bound);
	msix_control(w, 1, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(fired(card, 1), 1);
	/* A vector that does not exist. */
	assert_true(pci_msix_raise(f, VECTORS));
	assert_true(pci_msix_raise(f, 0xffff));
	msix_control(w, 1, 0);
	assert_false(pci_msix_raise(f, 1));
}

/* A message is an access to memory: none without the bit of bus mastering. */
static void test_bus_master(void **state)
{
	struct world *w = *state;
	struct card *card = &w->cards[0];
	struct pci_function *f = &card->function;
	uint64_t bar = bar_get(w, 1, 1);

	assert_false(pci_function_is_master(f));
	master_enable(w, 1, true);
	assert_true(pci_function_is_master(f));
	mmio_write(w, bar, 8, 0xfee01000);
	mmio_write(w, bar + 8, 8, 0x4041);
	msix_control(w, 1, PCI_MSIX_FLAGS_ENABLE);
	assert_true(pci_msix_raise(f, 0));
	assert_int_equal(fired(card, 0), 1);
	master_enable(w, 1, false);
	assert_false(pci_function_is_master(f));
	/* Neither the device nor a write to the eventfd raises it. */
	assert_true(pci_msix_raise(f, 0));
	assert_int_equal(fired(card, 0), 0);
	assert_false(f->msix.vectors[0].bound);
	assert_int_equal(mmio_read(w, bar + PCI_MSIX_PBA_AT, 8), 1);
	/* Registers are still there, and an unmasked entry changes nothing. */
	mmio_write(w, bar + 12, 4, 1);
	mmio_write(w, bar + 12, 4, 0);
	assert_int_equal(fired(card, 0), 0);
	master_enable(w, 1, true);
	assert_int_equal(fired(card, 0), 1);
	assert_int_equal(mmio_read(w, bar + PCI_MSIX_PBA_AT, 8), 0);
	pci_function_reset(f);
	assert_false(pci_function_is_master(f));
}

static void test_intx(void **state)
{
	struct world *w = *state;
	struct pci_function *f = &w->cards[0].function;
	uint64_t *line = &w->irqs.line_sources[INTX_FIRST + 1];

	pci_intx_set(f, true);
	assert_int_equal(*line, 1 << 1);
	assert_true(config_read(w, 1, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	config_write(w, 1, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(*line, 0);
	assert_true(config_read(w, 1, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	config_write(w, 1, PCI_COMMAND, 2, 0);
	assert_int_equal(*line, 1 << 1);
	msix_control(w, 1, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(*line, 0);
	msix_control(w, 1, 0);
	pci_intx_set(f, false);
	assert_int_equal(*line, 0);
	assert_false(config_read(w, 1, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
}

/* A function in use: moved, MSI-X on, one interrupt pending. */
static void use_card(struct world *w)
{
	uint64_t bar = bar_get(w, 1, 1);

	master_enable(w, 1, true);
	bar_set(w, 1, 0, (uint32_t)WINDOW + 0x400000);
	mmio_write(w, bar, 8, 0xfee02000);
	mmio_write(w, bar + 8, 8, 0x55);
	msix_control(w, 1, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	pci_msix_raise(&w->cards[0].function, 0);
}

static void test_save_load(void **state)
{
	struct world *w = *state;
	struct card *card = &w->cards[0];
	struct pci_function *f = &card->function;
	struct snap_writer out = { 0 };
	struct snap_reader in;

	use_card(w);
	pci_function_save(f, &out);
	assert_int_equal(out.error, 0);
	pci_function_reset(f);
	assert_false(card->decoded);
	in = (struct snap_reader){ .data = out.data, .len = out.len };
	assert_int_equal(pci_function_load(f, &in), 0);
	assert_int_equal(snap_reader_error(&in), 0);
	assert_true(card->decoded);
	assert_int_equal(card->gpa, WINDOW + 0x400000);
	assert_int_equal(fired(card, 0), 0);
	msix_control(w, 1, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(fired(card, 0), 1);
	assert_int_equal(w->irqs.msis[f->msix.vectors[0].gsi - 24].addr,
			 0xfee02000);
	/* The state of another slot is rejected. */
	in = (struct snap_reader){ .data = out.data, .len = out.len };
	assert_int_equal(pci_function_load(&w->cards[1].function, &in),
			 -EBADMSG);
	snap_writer_finish(&out);
}

static void test_load_hostile(void **state)
{
	struct world *w = *state;
	struct pci_function *f = &w->cards[0].function;
	struct snap_writer out = { 0 };
	unsigned int seed = 0x6c6f;
	uint8_t *bytes;

	print_message("seed %#x\n", seed);
	use_card(w);
	pci_function_save(f, &out);
	bytes = malloc(out.len);
	for (size_t len = 0; len < out.len; len++) {
		struct snap_reader in = { .data = out.data, .len = len };

		assert_int_equal(pci_function_load(f, &in), -EBADMSG);
		assert_memory_equal(f->config, f->power_on, PCI_CONFIG_BYTES);
	}
	for (unsigned int i = 0; i < 5000; i++) {
		struct snap_reader in = { .data = bytes, .len = out.len };

		memcpy(bytes, out.data, out.len);
		for (int n = rand_r(&seed) % 8; n >= 0; n--)
			bytes[(size_t)rand_r(&seed) % out.len] =
				(uint8_t)rand_r(&seed);
		pci_function_load(f, &in);
		bus_check(w);
		for (unsigned int b = 0; b < PCI_CONFIG_BYTES; b++)
			assert_int_equal((f->config[b] ^ f->power_on[b]) &
						 ~f->writable[b] & 0xff,
					 0);
	}
	free(bytes);
	snap_writer_finish(&out);
}

static void test_host_device(void **state)
{
	struct world *w = *state;
	struct device device = { 0 };
	struct snap_writer out = { 0 };
	struct snap_reader in;

	pci_host_device(w->host, &device);
	config_write(w, 0, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	assert_int_equal(device.ops->quiesce(device.state, INT64_MAX), 0);
	assert_int_equal(device.ops->save(device.state, &out), 0);
	device.ops->reset(device.state);
	assert_int_equal(config_read(w, 0, PCI_COMMAND, 2), 0);
	in = (struct snap_reader){ .data = out.data, .len = out.len };
	assert_int_equal(device.ops->load(device.state, &in), 0);
	device.ops->resume(device.state);
	assert_int_equal(config_read(w, 0, PCI_COMMAND, 2), PCI_COMMAND_MASTER);
	in = (struct snap_reader){ .data = out.data, .len = out.len - 1 };
	assert_true(device.ops->load(device.state, &in) < 0);
	assert_int_equal(config_read(w, 0, PCI_COMMAND, 2), 0);
	snap_writer_finish(&out);
}

static void test_slots_and_window_run_out(void **state)
{
	struct world *w = *state;
	struct pci_function *f = calloc(40, sizeof(*f));
	unsigned int n = 0;
	int err = 0;

	while (n < 40 && err == 0) {
		assert_int_equal(pci_function_init(&f[n], &card_identity, "x",
						   &card_ops, w),
				 0);
		pci_function_bar(&f[n], 0, 1 << 12);
		err = pci_function_attach(&f[n], w->host);
		n++;
	}
	assert_int_equal(err, -ENOSPC);
	assert_int_equal(n, 32 - 3 + 1);
	while (n--)
		pci_function_finish(&f[n]);
	/* A BAR larger than the window. */
	assert_int_equal(pci_function_init(&f[0], &card_identity, "x",
					   &card_ops, w),
			 0);
	pci_function_bar(&f[0], 0, 32 << 20);
	assert_int_equal(pci_function_attach(&f[0], w->host), -ENOSPC);
	pci_function_finish(&f[0]);
	assert_int_equal(config_read(w, 3, PCI_VENDOR_ID, 4), UINT32_MAX);
	free(f);
}

#define TEST(label, function)                          \
	{                                              \
		label, function, setup, teardown, NULL \
	}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST("pci-enumerates", test_enumerates),
		TEST("pci-config-any-access", test_config_any_access),
		TEST("pci-bar-sizes-and-moves", test_bar_sizes_and_moves),
		TEST("pci-bar-outside-window", test_bar_outside_window),
		TEST("pci-bar-overlap", test_bar_overlap),
		TEST("pci-bar-random-moves", test_bar_random_moves),
		TEST("pci-msix-any-access", test_msix_any_access),
		TEST("pci-msix-masks", test_msix_masks),
		TEST("pci-bus-master", test_bus_master),
		TEST("pci-intx", test_intx),
		TEST("pci-save-load", test_save_load),
		TEST("pci-load-hostile", test_load_hostile),
		TEST("pci-host-device", test_host_device),
		TEST("pci-runs-out", test_slots_and_window_run_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
