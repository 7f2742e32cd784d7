// SPDX-License-Identifier: BSD-2-Clause
/*
 * The PCI transport: registers, status, notification and interrupts, with the
 * entropy device and the disk as the devices behind it.
 */
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest.h"
#include "vmm/base/bytes.h"
#include "vmm/pci/function.h"
#include "vmm/snap/section.h"

#define ALL_FEATURES UINT64_MAX
/* Without event indices there is an interrupt for each buffer. */
#define EACH_INTERRUPT (ALL_FEATURES & ~BIT(VIRTIO_RING_F_EVENT_IDX))
#define QUEUE	       (gpa_t) MIB
#define DATA	       (gpa_t)0x140000

struct fixture {
	struct guest g;
	struct device device;
	struct guest_device d;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	guest_init(&x->g);
	assert_int_equal(virtio_rng_create(&x->device, &x->g.host, "rng"), 0);
	guest_find(&x->g, &x->d, 1);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	guest_destroy(&x->g, &x->device);
	guest_finish(&x->g);
	free(x);
	return 0;
}

/* Requests 16 bytes of entropy; true if they arrived. */
static bool works(struct fixture *x)
{
	struct guest_buffer b = { DATA, 16, GUEST_WRITE };
	uint32_t head, len;

	guest_add(&x->d, 0, &b, 1);
	guest_kick(&x->d, 0);
	return guest_used(&x->d, 0, &head, &len) && len == 16;
}

static void test_identity(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(guest_config_read(&x->g, 1, PCI_DEVICE_ID, 2), 0x1044);
	assert_int_equal(guest_config_read(&x->g, 1, PCI_REVISION_ID, 1), 1);
	assert_int_equal(guest_common(&x->d, VIRTIO_PCI_COMMON_NUMQ, 2), 1);
	guest_common_set(&x->d, VIRTIO_PCI_COMMON_DFSELECT, 4, 1);
	assert_int_equal(guest_common(&x->d, VIRTIO_PCI_COMMON_DF, 4), 1);
	guest_common_set(&x->d, VIRTIO_PCI_COMMON_DFSELECT, 4, 2);
	assert_int_equal(guest_common(&x->d, VIRTIO_PCI_COMMON_DF, 4), 0);
	/* A queue that does not exist has size zero. */
	guest_common_set(&x->d, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
	assert_int_equal(guest_common(&x->d, VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
	guest_common_set(&x->d, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
	assert_int_equal(guest_common(&x->d, VIRTIO_PCI_COMMON_Q_SIZE, 2), 64);
}

static void test_negotiation(void **state)
{
	struct fixture *x = *state;
	struct guest_device *d = &x->d;

	guest_negotiate(d, ALL_FEATURES);
	assert_int_equal(guest_status(d), 11);
	/* Fixed from here on. */
	guest_common_set(d, VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
	guest_common_set(d, VIRTIO_PCI_COMMON_GF, 4, 0);
	assert_int_equal(guest_common(d, VIRTIO_PCI_COMMON_GF, 4),
			 (uint32_t)d->features);
	guest_common_set(d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	assert_int_equal(guest_status(d), 0);
	assert_int_equal(guest_common(d, VIRTIO_PCI_COMMON_GF, 4), 0);
	/* Without VERSION_1. */
	guest_common_set(d, VIRTIO_PCI_COMMON_STATUS, 1, 3);
	guest_common_set(d, VIRTIO_PCI_COMMON_STATUS, 1, 11);
	assert_int_equal(guest_status(d), 3);
	/* With one that is not offered. */
	guest_common_set(d, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	guest_common_set(d, VIRTIO_PCI_COMMON_GF, 4, 3);
	guest_common_set(d, VIRTIO_PCI_COMMON_STATUS, 1, 11);
	assert_int_equal(guest_status(d), 3);
	/* DRIVER_OK without FEATURES_OK is not taken. */
	guest_common_set(d, VIRTIO_PCI_COMMON_STATUS, 1, 7);
	assert_int_equal(guest_status(d), 3);
	guest_common_set(d, VIRTIO_PCI_COMMON_GF, 4, 1);
	guest_common_set(d, VIRTIO_PCI_COMMON_STATUS, 1, 11);
	assert_int_equal(guest_status(d), 11);
	/* Bits stay; the device's own bit is not the driver's to set. */
	guest_common_set(d, VIRTIO_PCI_COMMON_STATUS, 1, 0x40);
	assert_int_equal(guest_status(d), 11);
	guest_common_set(d, VIRTIO_PCI_COMMON_STATUS, 1, 0x80);
	assert_int_equal(guest_status(d), 0x8b);
}

static void test_waits_for_driver_ok(void **state)
{
	struct fixture *x = *state;
	struct guest_buffer b = { DATA, 16, GUEST_WRITE };
	uint32_t head, len;

	guest_negotiate(&x->d, ALL_FEATURES);
	guest_queue_start(&x->d, 0, 64, QUEUE);
	guest_add(&x->d, 0, &b, 1);
	guest_kick(&x->d, 0);
	guest_sync(&x->g);
	assert_false(guest_used_now(&x->d, 0, &head, &len));
	/* Buffers added before are served without another kick. */
	guest_driver_ok(&x->d);
	assert_true(guest_used(&x->d, 0, &head, &len));
	assert_int_equal(len, 16);
}

static void test_reset(void **state)
{
	struct fixture *x = *state;
	uint32_t head, len;
	struct guest_buffer b = { DATA, 16, GUEST_WRITE };

	for (unsigned int i = 0; i < 20; i++) {
		guest_start(&x->d, ALL_FEATURES, 1);
		assert_true(works(x));
		/* Read-only while enabled. */
		guest_common_set(&x->d, VIRTIO_PCI_COMMON_Q_SIZE, 2, 2);
		assert_int_equal(guest_common(&x->d, VIRTIO_PCI_COMMON_Q_SIZE,
					      2),
				 64);
		guest_common_set(&x->d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
		assert_int_equal(guest_status(&x->d), 0);
		assert_int_equal(guest_common(&x->d, VIRTIO_PCI_COMMON_Q_ENABLE,
					      2),
				 0);
		assert_int_equal(guest_common(&x->d, VIRTIO_PCI_COMMON_Q_MSIX,
					      2),
				 VIRTIO_MSI_NO_VECTOR);
		/* After a reset the queue is not touched any more. */
		guest_add(&x->d, 0, &b, 1);
		guest_kick(&x->d, 0);
		guest_sync(&x->g);
		assert_false(guest_used_now(&x->d, 0, &head, &len));
	}
}

static void test_bad_queues(void **state)
{
	static const struct {
		unsigned int reg;
		uint64_t value;
		unsigned int size;
	} bad[] = {
		{ VIRTIO_PCI_COMMON_Q_SIZE, 0, 2 },
		{ VIRTIO_PCI_COMMON_Q_SIZE, 3, 2 },
		{ VIRTIO_PCI_COMMON_Q_SIZE, 128, 2 },
		{ VIRTIO_PCI_COMMON_Q_SIZE, 0x8000, 2 },
		{ VIRTIO_PCI_COMMON_Q_DESCLO, 0xffffffff, 4 },
		{ VIRTIO_PCI_COMMON_Q_DESCHI, 0xffffffff, 4 },
		{ VIRTIO_PCI_COMMON_Q_DESCLO, GUEST_LOW_BYTES - 16, 4 },
		{ VIRTIO_PCI_COMMON_Q_DESCLO, QUEUE + 8, 4 },
		{ VIRTIO_PCI_COMMON_Q_AVAILLO, UINT64_MAX, 8 },
		{ VIRTIO_PCI_COMMON_Q_AVAILLO, QUEUE + 1, 8 },
		{ VIRTIO_PCI_COMMON_Q_AVAILHI, 1, 4 },
		{ VIRTIO_PCI_COMMON_Q_USEDLO, GUEST_LOW_BYTES, 8 },
		{ VIRTIO_PCI_COMMON_Q_USEDLO, GUEST_HIGH - 4, 8 },
		{ VIRTIO_PCI_COMMON_Q_USEDLO, QUEUE + 2, 8 },
	};
	struct fixture *x = *state;
	struct guest_device *d = &x->d;

	guest_log_begin(&x->g);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		guest_negotiate(d, ALL_FEATURES);
		guest_fired(d, 0);
		guest_common_set(d, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
		guest_common_set(d, VIRTIO_PCI_COMMON_Q_DESCLO, 8, QUEUE);
		guest_common_set(d, VIRTIO_PCI_COMMON_Q_AVAILLO, 8, QUEUE);
		guest_common_set(d, VIRTIO_PCI_COMMON_Q_USEDLO, 8, QUEUE);
		guest_common_set(d, bad[i].reg, bad[i].size, bad[i].value);
		guest_common_set(d, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
		assert_true(guest_status(d) & VIRTIO_CONFIG_S_NEEDS_RESET);
		/* No notification before DRIVER_OK, and no service after it. */
		assert_int_equal(guest_fired(d, 0), 0);
		guest_driver_ok(d);
		guest_kick(d, 0);
		guest_sync(&x->g);
		assert_true(guest_status(d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	}
	assert_in_range(guest_log_end(&x->g), 1, 11);
	guest_start(d, ALL_FEATURES, 1);
	assert_true(works(x));
	/* Before FEATURES_OK a queue cannot be enabled. */
	guest_common_set(d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	guest_common_set(d, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	assert_int_equal(guest_common(d, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
}

static void test_intx(void **state)
{
	struct fixture *x = *state;
	struct guest_device *d = &x->d;
	uint64_t *line = &x->g.irqs.line_sources[GUEST_INTX + 1];

	guest_config_write(&x->g, 1, d->msix_cap + PCI_MSIX_FLAGS, 2, 0);
	guest_start(d, ALL_FEATURES, 1);
	assert_true(works(x));
	guest_sync(&x->g);
	assert_int_equal(*line, 1 << 1);
	assert_int_equal(guest_read(&x->g, d->isr, 1), 1);
	assert_int_equal(*line, 0);
	assert_int_equal(guest_read(&x->g, d->isr, 1), 0);
	/* A broken device sets the configuration bit. */
	guest_log_begin(&x->g);
	guest_offer(d, 0, 999);
	guest_kick(d, 0);
	guest_sync(&x->g);
	guest_log_end(&x->g);
	assert_int_equal(*line, 1 << 1);
	assert_int_equal(guest_read(&x->g, d->isr, 1), 2);
	/* A reset deasserts the line. */
	guest_start(d, ALL_FEATURES, 1);
	assert_true(works(x));
	guest_sync(&x->g);
	assert_int_equal(*line, 1 << 1);
	guest_common_set(d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	assert_int_equal(*line, 0);
}

static void test_vectors(void **state)
{
	struct fixture *x = *state;
	struct guest_device *d = &x->d;

	guest_start(d, 0, 1);
	assert_true(works(x));
	guest_sync(&x->g);
	assert_int_equal(guest_fired(d, 1), 1);
	/* A vector that does not exist reads back as none. */
	guest_common_set(d, VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);
	assert_int_equal(guest_common(d, VIRTIO_PCI_COMMON_Q_MSIX, 2),
			 VIRTIO_MSI_NO_VECTOR);
	guest_common_set(d, VIRTIO_PCI_COMMON_MSIX, 2, 77);
	assert_int_equal(guest_common(d, VIRTIO_PCI_COMMON_MSIX, 2),
			 VIRTIO_MSI_NO_VECTOR);
	assert_true(works(x));
	guest_sync(&x->g);
	assert_int_equal(guest_fired(d, 1), 0);
	/* The driver asked for no interrupts. */
	guest_common_set(d, VIRTIO_PCI_COMMON_Q_MSIX, 2, 1);
	guest_put16(&x->g, d->queues[0].avail, 1);
	assert_true(works(x));
	guest_sync(&x->g);
	assert_int_equal(guest_fired(d, 1), 0);
}

static void test_event_idx(void **state)
{
	struct fixture *x = *state;
	struct guest_device *d = &x->d;
	struct guest_buffer b = { DATA, 16, GUEST_WRITE };
	uint32_t head, len;

	guest_start(d, ALL_FEATURES, 1);
	assert_true(d->features & BIT(VIRTIO_RING_F_EVENT_IDX));
	assert_true(works(x));
	guest_sync(&x->g);
	assert_int_equal(guest_fired(d, 1), 1);
	/* An interrupt at the fifth buffer. */
	guest_put16(&x->g, d->queues[0].avail + 4 + 2 * 64, 4);
	for (unsigned int i = 0; i < 3; i++)
		assert_true(works(x));
	guest_sync(&x->g);
	assert_int_equal(guest_fired(d, 1), 0);
	assert_true(works(x));
	guest_sync(&x->g);
	assert_int_equal(guest_fired(d, 1), 1);
	/* The device waits for the next chain: a kick is asked for at once. */
	assert_int_equal(guest_get16(&x->g, d->queues[0].used + 4 + 8 * 64),
			 d->queues[0].avail_idx);
	guest_add(d, 0, &b, 1);
	guest_kick(d, 0);
	assert_true(guest_used(d, 0, &head, &len));
}

/* The registers in every size at every offset, with everything written. */
static void test_any_access(void **state)
{
	static const unsigned int sizes[] = { 1, 2, 4, 8 };
	static const uint64_t values[] = { 0, 1, UINT64_MAX,
					   0x0123456789abcdef };
	struct fixture *x = *state;
	uint64_t bar = x->d.common;

	guest_log_begin(&x->g);
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++)
		for (size_t v = 0; v < ARRAY_SIZE(values); v++)
			for (unsigned int at = 0; at < 0x4000; at++) {
				guest_write(&x->g, bar + at, sizes[s],
					    values[v]);
				guest_read(&x->g, bar + at, sizes[s]);
			}
	/* Reads agree with each other, whatever the size. */
	for (unsigned int at = 0; at + 8 <= 56; at++)
		for (unsigned int i = 0; i < 8; i++)
			assert_int_equal(guest_read(&x->g, bar + at, 8) >>
							 (8 * i) &
						 0xff,
					 guest_read(&x->g, bar + at + i, 1));
	assert_true(guest_log_end(&x->g) <= 20);
	guest_start(&x->d, ALL_FEATURES, 1);
	assert_true(works(x));
}

/* The same for config space, with the device in use. */
static void test_any_config_access(void **state)
{
	static const unsigned int sizes[] = { 1, 2, 4, 8 };
	struct fixture *x = *state;

	guest_start(&x->d, ALL_FEATURES, 1);
	guest_log_begin(&x->g);
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++)
		for (unsigned int reg = 0; reg < 4096; reg++) {
			guest_config_write(&x->g, 1, reg, sizes[s], UINT64_MAX);
			guest_config_read(&x->g, 1, reg, sizes[s]);
			guest_config_write(&x->g, 1, reg, sizes[s], reg);
			guest_config_read(&x->g, 1, reg, sizes[s]);
		}
	guest_log_end(&x->g);
	x->device.ops->reset(x->device.state);
	guest_find(&x->g, &x->d, 1);
	guest_start(&x->d, ALL_FEATURES, 1);
	assert_true(works(x));
}

static void test_bar_moves(void **state)
{
	struct fixture *x = *state;
	uint64_t old = x->d.common;
	uint64_t new = old + 0x400000;

	guest_start(&x->d, ALL_FEATURES, 1);
	guest_config_write(&x->g, 1, PCI_BASE_ADDRESS_0, 4, new);
	assert_int_equal(guest_read(&x->g, old, 4), UINT32_MAX);
	x->d.common += new - old;
	x->d.notify += new - old;
	assert_true(works(x));
	/* Away, and back: kicks in between are lost, nothing else. */
	guest_config_write(&x->g, 1, PCI_BASE_ADDRESS_0, 4, 0);
	guest_kick(&x->d, 0);
	guest_config_write(&x->g, 1, PCI_BASE_ADDRESS_0, 4, new);
	assert_true(works(x));
}

/* BAR accesses through config space. */
static void test_window(void **state)
{
	struct fixture *x = *state;
	struct guest *g = &x->g;
	unsigned int cap = x->d.window_cap;
	uint8_t type;

	guest_config_write(g, 1, cap + VIRTIO_PCI_CAP_BAR, 1, 0);
	guest_config_write(g, 1, cap + VIRTIO_PCI_CAP_OFFSET, 4,
			   VIRTIO_PCI_COMMON_NUMQ);
	guest_config_write(g, 1, cap + VIRTIO_PCI_CAP_LENGTH, 4, 2);
	assert_int_equal(guest_config_read(g, 1, cap + 16, 2), 1);
	guest_config_write(g, 1, cap + VIRTIO_PCI_CAP_OFFSET, 4,
			   VIRTIO_PCI_COMMON_STATUS);
	guest_config_write(g, 1, cap + VIRTIO_PCI_CAP_LENGTH, 4, 1);
	guest_config_write(g, 1, cap + 16, 1, 3);
	assert_int_equal(guest_status(&x->d), 3);
	assert_int_equal(guest_config_read(g, 1, cap + 16, 1), 3);
	/* The type cannot be written; bad windows do nothing. */
	type = (uint8_t)guest_config_read(g, 1, cap + 3, 1);
	guest_config_write(g, 1, cap + 3, 1, 0);
	assert_int_equal(guest_config_read(g, 1, cap + 3, 1), type);
	for (unsigned int len = 0; len < 16; len++)
		for (unsigned int bar = 0; bar < 8; bar++) {
			guest_config_write(g, 1, cap + VIRTIO_PCI_CAP_BAR, 1,
					   bar);
			guest_config_write(g, 1, cap + VIRTIO_PCI_CAP_LENGTH, 4,
					   len);
			guest_config_write(g, 1, cap + VIRTIO_PCI_CAP_OFFSET, 4,
					   0x3ffd + len);
			guest_config_write(g, 1, cap + 16, 4, 0);
			guest_config_read(g, 1, cap + 16, 4);
			guest_config_write(g, 1, cap + VIRTIO_PCI_CAP_OFFSET, 4,
					   0xfffffffc);
			guest_config_read(g, 1, cap + 16, 4);
		}
	assert_int_equal(guest_status(&x->d), 3);
}

static void test_save_load_interrupts(void **state)
{
	struct fixture *x = *state;
	struct guest_device *d = &x->d;
	const struct device_ops *ops = x->device.ops;
	uint64_t *line = &x->g.irqs.line_sources[GUEST_INTX + 1];
	struct snap_writer w = { 0 };
	struct snap_reader r;

	guest_config_write(&x->g, 1, d->msix_cap + PCI_MSIX_FLAGS, 2, 0);
	guest_start(d, ALL_FEATURES, 1);
	assert_true(works(x));
	assert_int_equal(ops->quiesce(x->device.state, INT64_MAX), 0);
	assert_int_equal(*line, 1 << 1);
	assert_int_equal(ops->save(x->device.state, &w), 0);
	ops->reset(x->device.state);
	assert_int_equal(*line, 0);
	/* INTA is up again, with its reason. */
	r = (struct snap_reader){ .data = w.data, .len = w.len };
	assert_int_equal(ops->load(x->device.state, &r), 0);
	assert_int_equal(*line, 1 << 1);
	ops->resume(x->device.state);
	assert_int_equal(guest_read(&x->g, d->isr, 1), 1);
	assert_int_equal(*line, 0);
	assert_true(works(x));
	snap_writer_finish(&w);
}

/* Lets the device be bus master, or not. */
static void set_master(struct fixture *x, bool on)
{
	guest_config_write(&x->g, 1, PCI_COMMAND, 2,
			   PCI_COMMAND_MEMORY | (on ? PCI_COMMAND_MASTER : 0));
}

/*
 * Adds a buffer to a device that is no bus master and notifies: nothing of guest
 * memory may change, and no interrupt may come.
 */
static void check_stands_still(struct fixture *x)
{
	uint8_t *memory = guest_ptr(&x->g, QUEUE, GUEST_LOW_BYTES - QUEUE);
	uint8_t *before = malloc(GUEST_LOW_BYTES - QUEUE);
	struct guest_buffer b = { DATA, 16, GUEST_WRITE };

	assert_non_null(before);
	guest_add(&x->d, 0, &b, 1);
	memcpy(before, memory, GUEST_LOW_BYTES - QUEUE);
	for (unsigned int i = 0; i < 3; i++) {
		guest_kick(&x->d, 0);
		guest_sync(&x->g);
	}
	assert_memory_equal(before, memory, GUEST_LOW_BYTES - QUEUE);
	assert_int_equal(guest_fired(&x->d, 1), 0);
	free(before);
}

/* Buffers added meanwhile are served without another notification. */
static void check_goes_on(struct fixture *x)
{
	uint32_t head, len;

	assert_true(guest_used(&x->d, 0, &head, &len));
	assert_int_equal(len, 16);
	assert_true(guest_fired(&x->d, 1) > 0);
	assert_true(works(x));
	guest_fired(&x->d, 1);
}

static void test_bus_master(void **state)
{
	struct fixture *x = *state;

	guest_start(&x->d, EACH_INTERRUPT, 1);
	assert_true(works(x));
	guest_fired(&x->d, 1);
	set_master(x, false);
	check_stands_still(x);
	assert_int_equal(guest_status(&x->d), 15);
	set_master(x, true);
	check_goes_on(x);
	/* A driver that starts before it sets the bit. */
	set_master(x, false);
	guest_start(&x->d, EACH_INTERRUPT, 1);
	check_stands_still(x);
	set_master(x, true);
	check_goes_on(x);
	/* By one byte of the register, and by a write that begins before it. */
	guest_config_write(&x->g, 1, PCI_COMMAND, 1, PCI_COMMAND_MEMORY);
	check_stands_still(x);
	guest_config_write(&x->g, 1, PCI_DEVICE_ID, 4,
			   (uint64_t)(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER)
				   << 16);
	check_goes_on(x);
}

/* The bit is part of what is saved; a reset clears it. */
static void test_bus_master_saved(void **state)
{
	struct fixture *x = *state;
	const struct device_ops *ops = x->device.ops;

	guest_start(&x->d, EACH_INTERRUPT, 1);
	for (unsigned int off = 0; off < 2; off++) {
		struct snap_writer w = { 0 };
		struct snap_reader r;

		set_master(x, !off);
		assert_int_equal(ops->quiesce(x->device.state, INT64_MAX), 0);
		assert_int_equal(ops->save(x->device.state, &w), 0);
		ops->reset(x->device.state);
		r = (struct snap_reader){ .data = w.data, .len = w.len };
		assert_int_equal(ops->load(x->device.state, &r), 0);
		ops->resume(x->device.state);
		guest_fired(&x->d, 1);
		if (off)
			check_stands_still(x);
		else
			assert_true(works(x));
		snap_writer_finish(&w);
	}
	set_master(x, true);
	check_goes_on(x);
}

static void test_many_devices(void **state)
{
	struct fixture *x = *state;
	struct device more[30];
	unsigned int n = 0;
	int err = 0;

	guest_log_begin(&x->g);
	while (n < 30 && err == 0)
		err = virtio_rng_create(&more[n], &x->g.host, "more"), n++;
	assert_int_equal(err, 0);
	{
		struct device one_too_many;

		assert_true(virtio_rng_create(&one_too_many, &x->g.host,
					      "last") < 0);
	}
	assert_true(guest_log_end(&x->g) > 0);
	guest_find(&x->g, &x->d, 31);
	guest_start(&x->d, ALL_FEATURES, 1);
	assert_true(works(x));
	while (n--)
		guest_destroy(&x->g, &more[n]);
}

#define TEST(label, function)                          \
	{                                              \
		label, function, setup, teardown, NULL \
	}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST("virtio-identity", test_identity),
		TEST("virtio-negotiation", test_negotiation),
		TEST("virtio-waits-for-driver-ok", test_waits_for_driver_ok),
		TEST("virtio-reset", test_reset),
		TEST("virtio-bad-queues", test_bad_queues),
		TEST("virtio-intx", test_intx),
		TEST("virtio-vectors", test_vectors),
		TEST("virtio-event-idx", test_event_idx),
		TEST("virtio-any-access", test_any_access),
		TEST("virtio-any-config-access", test_any_config_access),
		TEST("virtio-bar-moves", test_bar_moves),
		TEST("virtio-window", test_window),
		TEST("virtio-save-load-interrupts", test_save_load_interrupts),
		TEST("virtio-bus-master", test_bus_master),
		TEST("virtio-bus-master-saved", test_bus_master_saved),
		TEST("virtio-many-devices", test_many_devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
