// SPDX-License-Identifier: BSD-2-Clause
/*
 * A device that holds chains: completion later and out of order, waiting for
 * room, receive buffers without data, drain.
 */
#include <linux/pci_regs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "guest.h"
#include "vmm/base/bytes.h"
#include "vmm/bus/loop.h"
#include "vmm/virtio/pci.h"

#define ROOM 4

/* Queue 0 completes when the test says so, queue 1 has receive buffers. */
struct held {
	struct virtio_device *dev;
	struct virtq_chain chains[2][ROOM];
	unsigned int count[2]; /* chains held */
};

struct fixture {
	struct guest g;
	struct device device;
	struct guest_device d;
	struct held *held;
};

static struct virtq_chain *held_room(void *device, unsigned int queue)
{
	struct held *h = device;
	unsigned int count = h->count[queue];

	return count < ROOM ? &h->chains[queue][count] : NULL;
}

static bool held_handle(void *device, unsigned int queue,
			struct virtq_chain *chain)
{
	struct held *h = device;

	assert_ptr_equal(chain, &h->chains[queue][h->count[queue]]);
	h->count[queue]++;
	return true;
}

/* Completes the chains of @queue, the last one first. */
static void complete_all(struct held *h, unsigned int queue)
{
	while (h->count[queue]) {
		unsigned int i = --h->count[queue];

		virtio_queue_complete(h->dev, queue, h->chains[queue][i].head,
				      i);
	}
}

static unsigned int held_drain(void *device, unsigned int queue)
{
	struct held *h = device;
	unsigned int unused = h->count[1];

	if (queue == 0) {
		complete_all(h, 0);
		return 0;
	}
	h->count[1] = 0;
	return unused;
}

static const struct virtio_ops held_ops = {
	.kind = "held",
	.type = 63,
	.queue_size = 64,
	.room = held_room,
	.handle = held_handle,
	.drain = held_drain,
	.destroy = free,
};

static const struct device_ops held_device_ops = VIRTIO_PCI_DEVICE_OPS("held");

static int setup(void **state)
{
	static const struct virtio_config config = { .queue_count = 2 };
	struct fixture *x = calloc(1, sizeof(*x));
	struct virtio_pci_config pci = {
		.ops = &held_ops,
		.device_ops = &held_device_ops,
		.host = &x->g.host,
		.name = "held",
		.config = &config,
	};

	guest_init(&x->g);
	x->held = calloc(1, sizeof(*x->held));
	pci.impl = x->held;
	assert_int_equal(virtio_pci_create(&x->device, &pci, &x->held->dev), 0);
	guest_find(&x->g, &x->d, 1);
	guest_start(&x->d, UINT64_MAX, 2);
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

/* Adds @count buffers to a queue and waits until the device has seen them. */
static void add(struct fixture *x, unsigned int queue, unsigned int count)
{
	struct guest_buffer b = { GUEST_HIGH, 64, GUEST_WRITE };

	for (unsigned int i = 0; i < count; i++)
		guest_add(&x->d, queue, &b, 1);
	guest_kick(&x->d, queue);
	guest_sync(&x->g);
}

static void complete_on_loop(void *ctx)
{
	struct held *h = ctx;

	complete_all(h, 0);
	virtio_queue_serve(h->dev, 0);
}

/* Chains beyond the room wait, and are taken after a batch completed. */
static void test_later(void **state)
{
	struct fixture *x = *state;
	uint32_t head, len;

	add(x, 0, ROOM + 2);
	assert_int_equal(x->held->count[0], ROOM);
	assert_false(guest_used_now(&x->d, 0, &head, &len));
	guest_fired(&x->d, 1);
	loop_call(x->g.loop, complete_on_loop, x->held);
	for (uint32_t i = ROOM; i-- > 0;) {
		assert_true(guest_used_now(&x->d, 0, &head, &len));
		assert_int_equal(len, i);
	}
	assert_int_equal(guest_fired(&x->d, 1), 1);
	assert_int_equal(x->held->count[0], 2);
}

/* Quiesce completes requests and returns receive buffers; resume takes them. */
static void test_quiesce(void **state)
{
	struct fixture *x = *state;
	uint32_t head, len;

	add(x, 0, 2);
	add(x, 1, 3);
	assert_int_equal(x->held->count[1], 3);
	assert_int_equal(x->device.ops->quiesce(x->device.state, INT64_MAX), 0);
	assert_int_equal(x->held->count[0] + x->held->count[1], 0);
	assert_true(guest_used_now(&x->d, 0, &head, &len));
	assert_true(guest_used_now(&x->d, 0, &head, &len));
	assert_false(guest_used_now(&x->d, 1, &head, &len));
	x->device.ops->resume(x->device.state);
	guest_sync(&x->g);
	assert_int_equal(x->held->count[0], 0);
	assert_int_equal(x->held->count[1], 3);
}

/* Without bus mastering nothing is held; with it again buffers are. */
static void test_master(void **state)
{
	struct fixture *x = *state;
	uint64_t command = guest_config_read(&x->g, 1, PCI_COMMAND, 2);

	add(x, 1, 2);
	guest_config_write(&x->g, 1, PCI_COMMAND, 2,
			   command & ~(uint64_t)PCI_COMMAND_MASTER);
	assert_int_equal(x->held->count[1], 0);
	guest_config_write(&x->g, 1, PCI_COMMAND, 2, command);
	assert_int_equal(x->held->count[1], 2);
}

/* After a reset nothing is held, and the driver starts again. */
static void test_reset(void **state)
{
	struct fixture *x = *state;

	add(x, 0, 2);
	add(x, 1, 2);
	guest_start(&x->d, UINT64_MAX, 2);
	assert_int_equal(x->held->count[0] + x->held->count[1], 0);
	add(x, 0, 1);
	assert_int_equal(x->held->count[0], 1);
}

#define TEST(label, function)                          \
	{                                              \
		label, function, setup, teardown, NULL \
	}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST("serve-later", test_later),
		TEST("serve-quiesce", test_quiesce),
		TEST("serve-master", test_master),
		TEST("serve-reset", test_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
