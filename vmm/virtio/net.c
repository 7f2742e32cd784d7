// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio network (virtio 1.2, 5.1): one pair of queues and a control queue, between
 * the guest and the host side of vmm/io/net.h.
 *
 * A frame is copied into as many receive buffers as it needs; those that it has filled
 * are held until its last byte is there, because the header in the first one counts
 * them.  A frame that finds no more buffers stays where it is, so none is dropped while
 * the guest is slow; the host's side is read only while the guest has buffers.  A frame
 * of the guest that the host side does not take stays in its chain.
 *
 * After a restore the host side is another one: the link goes down, and up as soon as
 * the driver has read that it is down, with a request to announce the guest's address
 * (5.1.6.5.4).  Frames in flight at the save are lost; nothing of them is saved.
 *
 * Loop thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/io/net.h"
#include "vmm/virtio/pci.h"
#include "vmm/virtio/watch.h"

enum { QUEUE_RX = 0, QUEUE_TX = 1, QUEUE_CONTROL = 2, QUEUES = 3 };

#define QUEUE_SIZE 256

/* The part of the header before num_buffers (5.1.6). */
#define BEFORE_COUNT offsetof(struct virtio_net_hdr_v1, num_buffers)

/* Those of the header's contents, for a host side with offloads. */
#define OFFLOADS                                                      \
	(BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) |       \
	 BIT(VIRTIO_NET_F_HOST_TSO6) | BIT(VIRTIO_NET_F_GUEST_CSUM) | \
	 BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6))

/* A buffer with a part of the frame that is being received. */
struct held {
	uint16_t head;
	uint32_t written;
};

struct net_device {
	struct virtio_device *dev;
	struct net *net; /* not owned */
	struct watch in, out;
	struct held held[QUEUE_SIZE];
	unsigned int held_count;
	size_t rx_done; /* bytes of the frame in them */
	uint8_t *count_at[2]; /* the bytes of num_buffers in the first */
	bool restored; /* loaded, and not resumed since */
	bool flapping; /* the link is down until the driver has seen it */
	struct virtq_chain chain;
};

static void set_status(struct net_device *n, uint16_t status)
{
	uint8_t bytes[2];

	put_le16(bytes, status);
	virtio_config_put(n->dev, offsetof(struct virtio_net_config, status),
			  bytes, sizeof(bytes));
}

/* The same, and notifies the driver. */
static void put_status(struct net_device *n, uint16_t status)
{
	set_status(n, status);
	if (virtio_has(n->dev, VIRTIO_NET_F_STATUS))
		virtio_config_signal(n->dev);
}

/* The link's own state, without a change under way. */
static uint16_t link_status(const struct net_device *n)
{
	return n->net->framing == NET_NONE ? 0 : VIRTIO_NET_S_LINK_UP;
}

/* Returns the buffers that are held: the frame was received, or is given up. */
static void complete_held(struct net_device *n, bool received)
{
	for (unsigned int i = 0; i < n->held_count; i++)
		virtio_queue_complete(n->dev, QUEUE_RX, n->held[i].head,
				      received ? n->held[i].written : 0);
	n->held_count = 0;
	n->rx_done = 0;
	net_consume(n->net, received);
}

/* Stops watching the host side, for good. */
static void forget_host(struct net_device *n)
{
	watch_stop(&n->in);
	watch_stop(&n->out);
	n->in.fd = -1;
	close_fd(&n->out.fd);
}

/* The other end is gone, because of @err: the link is down, the guest lives. */
static void link_lost(struct net_device *n, int err)
{
	const char *why =
		err == -EPROTO ? "sent what is no frame" : "has closed its end";

	if (n->net->child)
		log_warn("%s: passt %s; the link is down", n->dev->name,
			 err == -EPROTO ? why : "has ended");
	else if (err == -EPROTO || err == -ENOTCONN || err == -EPIPE ||
		 err == -ECONNRESET)
		log_warn("%s: %s: the other end %s; the link is down",
			 n->dev->name, n->net->name, why);
	else
		log_warn("%s: %s: %s; the link is down", n->dev->name,
			 n->net->name,
			 err == -EBADFD ? "was removed" : strerror(-err));
	forget_host(n);
	if (n->held_count)
		complete_held(n, false);
	net_drop(n->net);
	/* What waited for the host does not any more. */
	virtio_queue_kick(n->dev, QUEUE_RX);
	virtio_queue_kick(n->dev, QUEUE_TX);
	n->flapping = false;
	put_status(n, 0);
}

/* Writes the header into the first buffer; false, if it has no room for it. */
static bool rx_header(struct net_device *n, struct iovs *v,
		      const uint8_t *header)
{
	static const uint8_t none;

	if (v->bytes < NET_HEADER_BYTES)
		return false;
	iovs_put(v, header, BEFORE_COUNT);
	for (unsigned int i = 0; i < ARRAY_SIZE(n->count_at); i++) {
		n->count_at[i] = v->iov->iov_base;
		iovs_put(v, &none, 1);
	}
	return true;
}

/* The frame is complete: says in how many buffers. */
static void rx_finish(struct net_device *n)
{
	uint8_t count[2];

	put_le16(count, (uint16_t)n->held_count);
	*n->count_at[0] = count[0];
	*n->count_at[1] = count[1];
	complete_held(n, true);
}

/* Copies the next part of a frame into a buffer, which is held from now on. */
static bool rx_fill(struct net_device *n, struct virtq_chain *chain,
		    const struct net_frame *frame)
{
	struct iovs *v = &chain->writable;
	uint64_t room = v->bytes;

	if (!room || (!n->held_count && !rx_header(n, v, frame->header))) {
		virtio_device_break(n->dev, "receive buffer without room for "
					    "a header");
		return false;
	}
	n->rx_done +=
		iovs_put(v, frame->data + n->rx_done, frame->len - n->rx_done);
	n->held[n->held_count++] =
		(struct held){ chain->head, (uint32_t)(room - v->bytes) };
	return true;
}

/* Receives into one buffer; false if there is no frame now. */
static bool rx_handle(struct net_device *n, struct virtq_chain *chain)
{
	struct net_frame frame;
	int r = net_receive(n->net, &frame);

	if (r < 0)
		link_lost(n, r);
	if (r <= 0 || !rx_fill(n, chain, &frame))
		return false;
	if (n->rx_done == frame.len) {
		rx_finish(n);
	} else if (!virtio_has(n->dev, VIRTIO_NET_F_MRG_RXBUF) ||
		   n->held_count == n->dev->queues[QUEUE_RX].ring.size) {
		/* It fits in no buffer, or in all of them together. */
		complete_held(n, false);
	}
	return true;
}

static void in_ready(void *ctx, uint32_t events)
{
	struct net_device *n = ctx;

	(void)events;
	virtio_queue_serve(n->dev, QUEUE_RX);
}

/* Watches the host's side while the guest has a buffer. */
static void rx_served(struct net_device *n, enum virtio_served why)
{
	if (why == VIRTIO_SERVED_WAIT || why == VIRTIO_SERVED_BUDGET)
		watch_start(&n->in, n->dev, EPOLLIN, in_ready, n);
	else
		watch_stop(&n->in);
}

/* Sends the frame of a chain; false if it must wait. */
static bool tx_handle(struct net_device *n, struct virtq_chain *chain)
{
	struct iovs *v = &chain->readable;
	struct virtio_net_hdr_v1 header;
	int r;

	if (iovs_take(v, &header, sizeof(header)) < sizeof(header)) {
		virtio_device_break(n->dev, "frame without a header");
		return false;
	}
	if (v->bytes == 0 || v->bytes > NET_FRAME_MAX) {
		n->net->tx_dropped++;
		r = 0;
	} else {
		r = net_send(n->net, &header, v->iov, v->count);
	}
	if (r == -EAGAIN)
		return false;
	if (r < 0)
		link_lost(n, r);
	virtio_queue_complete(n->dev, QUEUE_TX, chain->head, 0);
	return true;
}

static void out_ready(void *ctx, uint32_t events)
{
	struct net_device *n = ctx;

	(void)events;
	virtio_queue_serve(n->dev, QUEUE_TX);
}

/* Watches the host's side while it has not taken everything. */
static void tx_served(struct net_device *n, enum virtio_served why)
{
	int r = net_flush(n->net);

	if (r < 0 && r != -EAGAIN)
		link_lost(n, r);
	else if (r < 0 || why == VIRTIO_SERVED_WAIT)
		watch_start(&n->out, n->dev, EPOLLOUT, out_ready, n);
	else
		watch_stop(&n->out);
}

/* One command (5.1.6.5): its class, what it asks for, room for the answer. */
static bool control_handle(struct net_device *n, struct virtq_chain *chain)
{
	struct virtio_net_ctrl_hdr command;
	uint8_t answer = VIRTIO_NET_ERR;
	size_t got = iovs_take(&chain->readable, &command, sizeof(command));

	if (got < sizeof(command) || !chain->writable.bytes) {
		virtio_device_break(n->dev, "control command cut short");
		return false;
	}
	if (command.class == VIRTIO_NET_CTRL_ANNOUNCE &&
	    command.cmd == VIRTIO_NET_CTRL_ANNOUNCE_ACK) {
		answer = VIRTIO_NET_OK;
		set_status(n, n->flapping ? 0 : link_status(n));
	}
	iovs_put(&chain->writable, &answer, sizeof(answer));
	virtio_queue_complete(n->dev, QUEUE_CONTROL, chain->head,
			      sizeof(answer));
	return true;
}

/* The driver has read the status that says that the link is down. */
static void control_served(struct net_device *n)
{
	if (!n->flapping || !virtio_config_was_read(n->dev))
		return;
	n->flapping = false;
	put_status(n, virtio_has(n->dev, VIRTIO_NET_F_GUEST_ANNOUNCE) ?
			      VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE :
			      VIRTIO_NET_S_LINK_UP);
}

static struct virtq_chain *net_room(void *device, unsigned int queue)
{
	struct net_device *n = device;

	/* Without a host side no frame comes, and buffers stay. */
	return queue == QUEUE_RX && n->in.fd < 0 ? NULL : &n->chain;
}

static bool net_handle(void *device, unsigned int queue,
		       struct virtq_chain *chain)
{
	struct net_device *n = device;

	switch (queue) {
	case QUEUE_RX:
		return rx_handle(n, chain);
	case QUEUE_TX:
		return tx_handle(n, chain);
	default:
		return control_handle(n, chain);
	}
}

static void net_served(void *device, unsigned int queue, enum virtio_served why)
{
	struct net_device *n = device;

	/* A resume serves all queues. */
	if (n->dev->quiesced)
		return;
	switch (queue) {
	case QUEUE_RX:
		rx_served(n, why);
		return;
	case QUEUE_TX:
		tx_served(n, why);
		return;
	default:
		control_served(n);
	}
}

/* The frame stays, and is received again from its start. */
static unsigned int net_drain(void *device, unsigned int queue)
{
	struct net_device *n = device;
	unsigned int held = n->held_count;

	if (queue != QUEUE_RX)
		return 0;
	n->held_count = 0;
	n->rx_done = 0;
	return held;
}

/* What the driver has accepted becomes the host side's. */
static void accept_offloads(struct net_device *n)
{
	uint64_t accepted = 0;

	for (unsigned int bit = 0; bit < 64; bit++)
		if ((OFFLOADS & BIT(bit)) && virtio_has(n->dev, bit))
			accepted |= BIT(bit);
	net_accept(n->net, accepted);
}

/* Frames that came before this driver are not for it. */
static void discard_frames(struct net_device *n)
{
	struct net_frame frame;

	for (unsigned int i = 0; i < 4 * QUEUE_SIZE; i++) {
		if (n->held_count || net_receive(n->net, &frame) <= 0)
			return;
		net_consume(n->net, false);
	}
}

static void net_start(void *device)
{
	struct net_device *n = device;

	n->flapping = false;
	discard_frames(n);
	accept_offloads(n);
	put_status(n, link_status(n));
}

static int net_quiesce(void *device, uint64_t deadline_ns)
{
	struct net_device *n = device;

	(void)deadline_ns;
	watch_stop(&n->in);
	watch_stop(&n->out);
	return 0;
}

/* Another host side than before: see above. */
static void net_resume(void *device)
{
	struct net_device *n = device;

	if (!n->restored)
		return;
	n->restored = false;
	accept_offloads(n);
	n->flapping = link_status(n) && virtio_has(n->dev, VIRTIO_NET_F_STATUS);
	if (n->flapping)
		virtio_config_await_read(n->dev, QUEUE_CONTROL);
	put_status(n, n->flapping ? 0 : link_status(n));
}

static void net_reset(void *device)
{
	struct net_device *n = device;

	net_quiesce(n, 0);
	n->flapping = false;
	net_accept(n->net, 0);
}

static int net_load(void *device, struct snap_reader *r)
{
	struct net_device *n = device;

	(void)r;
	n->restored = true;
	return 0;
}

static void net_destroy(void *device)
{
	forget_host(device);
	free(device);
}

static const struct virtio_ops net_ops = {
	.kind = "virtio-net",
	.type = VIRTIO_ID_NET,
	.class_code = 0x020000, /* network, Ethernet */
	.queue_size = QUEUE_SIZE,
	.room = net_room,
	.handle = net_handle,
	.served = net_served,
	.drain = net_drain,
	.start = net_start,
	.reset = net_reset,
	.quiesce = net_quiesce,
	.resume = net_resume,
	.load = net_load,
	.destroy = net_destroy,
};

static const struct device_ops net_device_ops =
	VIRTIO_PCI_DEVICE_OPS("virtio-net");

/* The device config space (5.1.4). */
static void fill_space(struct virtio_config *config,
		       const struct virtio_net_link *link)
{
	uint8_t *space = config->space;

	config->space_bytes = offsetof(struct virtio_net_config, speed);
	memcpy(space + offsetof(struct virtio_net_config, mac), link->mac,
	       sizeof(link->mac));
	put_le16(space + offsetof(struct virtio_net_config, mtu), link->mtu);
	put_le16(space + offsetof(struct virtio_net_config, status),
		 link->net->framing == NET_NONE ? 0 : VIRTIO_NET_S_LINK_UP);
}

int virtio_net_create(struct device *device, const struct virtio_host *host,
		      const char *name, const struct virtio_net_link *link)
{
	struct virtio_config config = {
		.queue_count = QUEUES,
		.features = BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS) |
			    BIT(VIRTIO_NET_F_MTU) |
			    BIT(VIRTIO_NET_F_MRG_RXBUF) |
			    BIT(VIRTIO_NET_F_CTRL_VQ) |
			    BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) |
			    (link->net->offloads ? OFFLOADS : 0),
	};
	struct net_device *n = calloc(1, sizeof(*n));
	struct virtio_pci_config pci = {
		.ops = &net_ops,
		.device_ops = &net_device_ops,
		.impl = n,
		.host = host,
		.name = name,
		.config = &config,
	};

	if (!n)
		return log_errno(ENOMEM, "%s", name);
	fill_space(&config, link);
	n->net = link->net;
	n->in.fd = n->out.fd = -1;
	if (link->net->framing != NET_NONE) {
		/* One descriptor is watched for one purpose only. */
		n->in.fd = link->net->fd;
		n->out.fd = fcntl(link->net->fd, F_DUPFD_CLOEXEC, 3);
		if (n->out.fd < 0) {
			int err = log_errno(errno, "%s: descriptor", name);

			free(n);
			return err;
		}
	}
	return virtio_pci_create(device, &pci, &n->dev);
}
