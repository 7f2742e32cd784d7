// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio console (virtio 1.2, 5.3): one port, between the guest and the
 * terminal.
 *
 * Neither direction has a buffer of its own; the guest's queues are the buffers.
 * Input is read from the terminal only as far as it fits in a buffer that the
 * guest posted, so a paste of any size waits in the terminal.  It is copied by
 * way of the stack, because the guest could change its own buffer while escape
 * sequences are parsed.  Output that a slow reader does not take stays in its
 * chain: the chain returns to the avail ring, and the number of bytes written is
 * kept (the only state that this device saves).
 *
 * The window size feature is always offered, so that a guest can be restored on
 * a different terminal, or without one: the size is 0 by 0 then, which means
 * unknown.  A driver reads the size only after a configuration change, so one is
 * signalled at start, at resume, and whenever the window changes.
 *
 * Loop thread.
 */
#include <errno.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "vmm/base/bytes.h"
#include "vmm/io/terminal.h"
#include "vmm/snap/section.h"
#include "vmm/virtio/pci.h"
#include "vmm/virtio/watch.h"

enum { QUEUE_RX = 0, QUEUE_TX = 1 };

#define RX_BYTES 4096 /* read from the terminal at once */

struct console {
	struct virtio_device *dev;
	struct terminal *terminal; /* not owned */
	struct watch in, out, size;
	uint64_t tx_done; /* bytes written of the next tx chain; saved */
	bool tx_gone; /* output could not be written, which was logged */
	bool rx_moved; /* input was read since the queue was last served */
	struct virtq_chain chain;
};

/* Buffers are popped for input only until the input ends. */
static struct virtq_chain *console_room(void *device, unsigned int queue)
{
	struct console *c = device;

	return queue == QUEUE_RX && c->in.fd < 0 ? NULL : &c->chain;
}

/* Reads input into a buffer; false if there is no input now. */
static bool rx_handle(struct console *c, struct virtq_chain *chain)
{
	struct iovs *v = &chain->writable;
	uint8_t bytes[RX_BYTES];
	ssize_t n;

	if (!v->count) {
		virtio_device_break(c->dev, "input buffer is not writable");
		return false;
	}
	n = terminal_read(c->terminal, bytes, min_u64(v->bytes, sizeof(bytes)));
	if (n < 0 && n != -EAGAIN)
		c->in.fd = -1; /* end of input, or an error */
	if (n <= 0)
		return false;
	iovs_put(v, bytes, (size_t)n);
	virtio_queue_complete(c->dev, QUEUE_RX, chain->head, (uint32_t)n);
	c->rx_moved = true;
	return true;
}

static void in_ready(void *ctx, uint32_t events)
{
	struct console *c = ctx;

	(void)events;
	virtio_queue_serve(c->dev, QUEUE_RX);
}

/* Watches the input while there is a buffer for it. */
static void rx_served(struct console *c, enum virtio_served why)
{
	bool room = why == VIRTIO_SERVED_WAIT || why == VIRTIO_SERVED_BUDGET;
	bool moved = c->rx_moved;

	c->rx_moved = false;
	if (room && c->in.fd >= 0)
		watch_start(&c->in, c->dev, EPOLLIN, in_ready, c);
	else
		watch_stop(&c->in);
	/* epoll does not watch a regular file: ask for the next read. */
	if (c->in.always_ready && moved)
		virtio_queue_kick(c->dev, QUEUE_RX);
}

/* Logs the first failed write; later output is dropped. */
static void log_gone(struct console *c, int err)
{
	if (!c->tx_gone)
		log_errno(err, "virtio console: write to the terminal");
	c->tx_gone = true;
}

/* Writes the rest of the chain; true if all of it was written or dropped. */
static bool tx_drain(struct console *c, struct virtq_chain *chain)
{
	struct iovs *v = &chain->readable;

	iovs_skip(v, c->tx_done);
	while (v->count) {
		ssize_t n = terminal_write(c->terminal, v->iov->iov_base,
					   v->iov->iov_len);

		if (n == 0 || n == -EAGAIN)
			return false;
		if (n < 0) {
			log_gone(c, (int)-n);
			break;
		}
		iovs_skip(v, (uint64_t)n);
		c->tx_done += (uint64_t)n;
	}
	c->tx_done = 0;
	return true;
}

/* Writes one chain of output; false if the reader is slow. */
static bool tx_handle(struct console *c, struct virtq_chain *chain)
{
	if (!tx_drain(c, chain))
		return false;
	virtio_queue_complete(c->dev, QUEUE_TX, chain->head, 0);
	return true;
}

static void out_ready(void *ctx, uint32_t events)
{
	struct console *c = ctx;

	(void)events;
	virtio_queue_serve(c->dev, QUEUE_TX);
}

/* Watches the output while a chain waits for a slow reader. */
static void tx_served(struct console *c, enum virtio_served why)
{
	if (why == VIRTIO_SERVED_WAIT)
		watch_start(&c->out, c->dev, EPOLLOUT, out_ready, c);
	else
		watch_stop(&c->out);
}

static bool console_handle(void *device, unsigned int queue,
			   struct virtq_chain *chain)
{
	struct console *c = device;

	return queue == QUEUE_RX ? rx_handle(c, chain) : tx_handle(c, chain);
}

static void console_served(void *device, unsigned int queue,
			   enum virtio_served why)
{
	struct console *c = device;

	if (queue == QUEUE_RX)
		rx_served(c, why);
	else
		tx_served(c, why);
}

/* Updates the window size in config space and signals the driver. */
static void size_put(struct console *c)
{
	uint16_t cols, rows;
	uint8_t size[4];

	terminal_size(c->terminal, &cols, &rows);
	put_le16(size, cols);
	put_le16(size + 2, rows);
	virtio_config_put(c->dev, offsetof(struct virtio_console_config, cols),
			  size, sizeof(size));
	if (virtio_has(c->dev, VIRTIO_CONSOLE_F_SIZE))
		virtio_config_signal(c->dev);
}

/* The window size may have changed. */
static void size_ready(void *ctx, uint32_t events)
{
	struct console *c = ctx;

	(void)events;
	terminal_size_seen(c->terminal);
	size_put(c);
}

/* Start and resume; the terminal may not be the saved one. */
static void console_start(void *device)
{
	struct console *c = device;

	watch_start(&c->size, c->dev, EPOLLIN, size_ready, c);
	size_put(c);
}

/* Without the watches no transfer starts; none is in flight. */
static int console_quiesce(void *device, uint64_t deadline_ns)
{
	struct console *c = device;

	(void)deadline_ns;
	watch_stop(&c->in);
	watch_stop(&c->out);
	watch_stop(&c->size);
	return 0;
}

static void console_reset(void *device)
{
	struct console *c = device;

	console_quiesce(c, 0);
	c->tx_done = 0;
}

static void console_save(void *device, struct snap_writer *w)
{
	struct console *c = device;

	snap_put_u64(w, c->tx_done);
}

static int console_load(void *device, struct snap_reader *r)
{
	struct console *c = device;

	/* Any value is valid: beyond the chain, all of it counts as written. */
	c->tx_done = snap_get_u64(r);
	return 0;
}

/* The terminal has read ahead, on another thread. */
static void wake(void *ctx)
{
	const struct console *c = ctx;

	virtio_queue_kick(c->dev, QUEUE_RX);
}

static void console_destroy(void *device)
{
	struct console *c = device;

	console_quiesce(c, 0);
	terminal_set_wake(c->terminal, NULL, NULL);
	free(c);
}

static const struct virtio_ops console_ops = {
	.kind = "virtio-console",
	.type = VIRTIO_ID_CONSOLE,
	.class_code = 0x078000, /* communication, other */
	.queue_size = 64,
	.room = console_room,
	.handle = console_handle,
	.served = console_served,
	.start = console_start,
	.reset = console_reset,
	.quiesce = console_quiesce,
	.resume = console_start,
	.save = console_save,
	.load = console_load,
	.destroy = console_destroy,
};

static const struct device_ops console_device_ops =
	VIRTIO_PCI_DEVICE_OPS("virtio-console");

int virtio_console_create(struct device *device, const struct virtio_host *host,
			  const char *name, struct terminal *terminal)
{
	/* Nothing here may depend on the terminal, which is not saved. */
	const struct virtio_config config = {
		.queue_count = 2,
		.features = BIT(VIRTIO_CONSOLE_F_SIZE),
		.space_bytes = sizeof(struct virtio_console_config),
	};
	struct console *c = calloc(1, sizeof(*c));
	struct virtio_pci_config pci = {
		.ops = &console_ops,
		.device_ops = &console_device_ops,
		.impl = c,
		.host = host,
		.name = name,
		.config = &config,
	};
	int err;

	if (!c)
		return log_errno(ENOMEM, "%s", name);
	c->terminal = terminal;
	c->in.fd = terminal_in_fd(terminal);
	c->out.fd = terminal_out_fd(terminal);
	c->size.fd = terminal_size_fd(terminal);
	err = virtio_pci_create(device, &pci, &c->dev);
	if (err < 0)
		return err;
	size_put(c);
	terminal_set_wake(terminal, wake, c);
	return 0;
}
