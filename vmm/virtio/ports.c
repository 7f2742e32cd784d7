// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio console with VIRTIO_CONSOLE_F_MULTIPORT (virtio 1.2, 5.3): named byte
 * streams between the guest and descriptors of the host.  None of the ports is a
 * console.
 *
 *	ports.c		the device: life, snapshot; which queue is which
 *	ports_control.c	the control queues
 *	ports_data.c	the queues of a port
 *
 * What is in flight is in the guest's queues only, so the state is small: how far
 * the driver is with each port, and how much of its next chain was written.
 *
 * Loop thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <stdlib.h>

#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/snap/section.h"
#include "vmm/virtio/pci.h"
#include "vmm/virtio/ports_private.h"

static bool is_control(unsigned int queue)
{
	return queue == QUEUE_CONTROL_RX || queue == QUEUE_CONTROL_TX;
}

static bool is_rx(unsigned int queue)
{
	return queue % 2 == 0;
}

/* Buffers are popped only for what there may be. */
static struct virtq_chain *ports_room(void *device, unsigned int queue)
{
	struct ports *p = device;
	bool room =
		!is_rx(queue) ||
		(is_control(queue) ? control_has_message(p) :
				     port_takes_input(port_of_queue(p, queue)));

	return room ? &p->chain : NULL;
}

static bool ports_handle(void *device, unsigned int queue,
			 struct virtq_chain *chain)
{
	struct ports *p = device;

	if (queue == QUEUE_CONTROL_RX)
		return control_rx(p, chain);
	if (queue == QUEUE_CONTROL_TX)
		return control_tx(p, chain);
	return is_rx(queue) ? port_rx_handle(port_of_queue(p, queue), chain) :
			      port_tx_handle(port_of_queue(p, queue), chain);
}

static void ports_served(void *device, unsigned int queue,
			 enum virtio_served why)
{
	struct ports *p = device;

	if (is_control(queue))
		return;
	if (is_rx(queue))
		port_rx_served(port_of_queue(p, queue), why);
	else
		port_tx_served(port_of_queue(p, queue), why);
}

/* Without the watches no transfer starts; none is in flight. */
static int ports_quiesce(void *device, uint64_t deadline_ns)
{
	struct ports *p = device;

	(void)deadline_ns;
	for (unsigned int i = 0; i < p->count; i++)
		port_stop(&p->list[i]);
	return 0;
}

static void ports_reset(void *device)
{
	struct ports *p = device;

	ports_quiesce(p, 0);
	for (unsigned int i = 0; i < p->count; i++)
		p->list[i].state = (struct port_state){ 0 };
}

/* The bits of the flags of a port in a snapshot, from bit 0. */
#define FLAGS(s)                                                            \
	{                                                                   \
		&(s)->add_due, &(s)->open_due, &(s)->name_due, &(s)->ready, \
			&(s)->guest_open, &(s)->host_open,                  \
	}
#define FLAG_COUNT 6

static void ports_save(void *device, struct snap_writer *w)
{
	struct ports *p = device;

	snap_put_u32(w, p->count);
	for (unsigned int i = 0; i < p->count; i++) {
		struct port *port = &p->list[i];
		const bool *flags[FLAG_COUNT] = FLAGS(&port->state);
		uint8_t bits = 0;

		for (unsigned int bit = 0; bit < FLAG_COUNT; bit++)
			bits |= (uint8_t)(*flags[bit] << bit);
		snap_put_blob(w, port->name, strlen(port->name));
		snap_put_u8(w, bits);
		snap_put_u64(w, port->state.tx_done);
	}
}

/*
 * Puts the port with the name at @at, which is as long as the ports before it are
 * in their places; false if there is none.  No descriptor is watched.
 */
static bool port_place(struct ports *p, unsigned int at, const uint8_t *name,
		       size_t len)
{
	for (unsigned int i = at; i < p->count; i++) {
		struct port *port = &p->list[i], moved = *port;

		if (strlen(port->name) != len ||
		    memcmp(port->name, name, len) != 0)
			continue;
		*port = p->list[at];
		port->id = i;
		p->list[at] = moved;
		p->list[at].id = at;
		return true;
	}
	return false;
}

static int port_load(struct ports *p, unsigned int at, struct snap_reader *r)
{
	size_t len;
	const uint8_t *name = snap_get_blob(r, VIRTIO_PORT_NAME_BYTES, &len);
	uint8_t bits = snap_get_u8(r);
	uint64_t tx_done = snap_get_u64(r);
	struct port_state *s = &p->list[at].state;
	bool *flags[FLAG_COUNT] = FLAGS(s);

	if (r->error || bits >> FLAG_COUNT)
		return -EBADMSG;
	if (!port_place(p, at, name, len))
		return log_fail(EINVAL,
				"%s: the snapshot has a port that the "
				"configuration lacks",
				p->dev->name);
	for (unsigned int bit = 0; bit < FLAG_COUNT; bit++)
		*flags[bit] = bits >> bit & 1;
	/* Any value: beyond the chain, all of it counts as written. */
	s->tx_done = tx_done;
	return 0;
}

static int ports_load(void *device, struct snap_reader *r)
{
	struct ports *p = device;
	int err = 0;

	if (snap_get_u32(r) != p->count)
		snap_reader_fail(r);
	for (unsigned int i = 0; err == 0 && i < p->count; i++)
		err = port_load(p, i, r);
	return err;
}

static void ports_destroy(void *device)
{
	struct ports *p = device;

	for (unsigned int i = 0; i < p->count; i++) {
		port_stop(&p->list[i]);
		stream_close(&p->list[i].in);
		stream_close(&p->list[i].out);
	}
	free(p);
}

static const struct virtio_ops ports_ops = {
	.kind = "virtio-serial",
	.type = VIRTIO_ID_CONSOLE,
	.class_code = 0x078000, /* communication, other */
	.queue_size = 64,
	.room = ports_room,
	.handle = ports_handle,
	.served = ports_served,
	.reset = ports_reset,
	.quiesce = ports_quiesce,
	.save = ports_save,
	.load = ports_load,
	.destroy = ports_destroy,
};

static const struct device_ops ports_device_ops =
	VIRTIO_PCI_DEVICE_OPS("virtio-serial");

/*
 * Opens a stream on a descriptor of its own: epoll watches a descriptor once only,
 * and the caller may give the same one for both directions.
 */
static int end_open(struct stream *s, struct watch *w, int fd, int access)
{
	stream_open(s, fd, access);
	if (fd >= 0 && !s->owned) {
		s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (s->fd < 0)
			return -errno;
		s->owned = true;
	}
	w->fd = s->fd;
	return 0;
}

static int port_open(struct port *port, struct ports *p,
		     const struct virtio_port *config)
{
	int err;

	port->ports = p;
	port->id = p->count++;
	port->in.fd = port->out.fd = -1;
	port->tx_idle = true;
	memcpy(port->name, config->name,
	       strnlen(config->name, VIRTIO_PORT_NAME_BYTES));
	err = end_open(&port->in, &port->in_watch, config->in_fd, O_RDONLY);
	if (err == 0)
		err = end_open(&port->out, &port->out_watch, config->out_fd,
			       O_WRONLY);
	return err < 0 ? log_errno(-err, "port %s", config->name) : 0;
}

static struct ports *ports_open(const struct virtio_ports *config)
{
	struct ports *p = calloc(1, sizeof(*p));
	int err = 0;

	if (!p) {
		log_errno(ENOMEM, "ports");
		return NULL;
	}
	for (unsigned int i = 0; err == 0 && i < config->count; i++)
		err = port_open(&p->list[i], p, &config->list[i]);
	if (err == 0)
		return p;
	ports_destroy(p);
	return NULL;
}

int virtio_ports_create(struct device *device, const struct virtio_host *host,
			const char *name, const struct virtio_ports *ports)
{
	struct virtio_config config = {
		.queue_count = (uint16_t)(2 * ports->count + 2),
		.features = BIT(VIRTIO_CONSOLE_F_MULTIPORT),
		.space_bytes = sizeof(struct virtio_console_config),
	};
	struct ports *p = ports_open(ports);
	struct virtio_pci_config pci = {
		.ops = &ports_ops,
		.device_ops = &ports_device_ops,
		.impl = p,
		.host = host,
		.name = name,
		.config = &config,
	};

	if (!p)
		return -EIO;
	put_le32(config.space +
			 offsetof(struct virtio_console_config, max_nr_ports),
		 ports->count);
	return virtio_pci_create(device, &pci, &p->dev);
}

/* How long the loop may be busy with a page. */
#define DRAINED_NS (100 * NS_PER_MS)

/* An argument of loop_call_within(). */
struct drained_call {
	struct ports *p;
	bool drained;
};

/* Serves the queues, as a kick of the guest may be pending. */
static void drained_on_loop(void *ctx)
{
	struct drained_call *call = ctx;
	struct ports *p = call->p;

	for (unsigned int i = 0; i < p->count; i++) {
		virtio_queue_serve(p->dev, port_tx(&p->list[i]));
		call->drained &= p->list[i].tx_idle;
	}
}

bool virtio_ports_drained(const struct device *device)
{
	struct drained_call call = { virtio_pci_impl(device), true };

	return loop_call_within(call.p->dev->host.loop, drained_on_loop, &call,
				DRAINED_NS) == 0 &&
	       call.drained;
}
