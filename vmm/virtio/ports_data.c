// SPDX-License-Identifier: BSD-2-Clause
/*
 * The bytes of a port.  Neither direction has a buffer of its own: input is read
 * into a buffer that the guest posted, and output that a slow reader does not take
 * stays in its chain, which returns to the avail ring.
 *
 * Loop thread.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "vmm/virtio/ports_private.h"

/*
 * The guest must have been notified that the port is open: the end of input is the
 * change from that.
 */
bool port_takes_input(const struct port *port)
{
	return port->in.fd >= 0 && !port->in_ended && !port->out_gone &&
	       port->state.guest_open && port->state.host_open;
}

static void input_ended(struct port *port, int err)
{
	/* A pty whose other end is closed, a socket whose peer is gone. */
	if (err && err != EIO && err != ECONNRESET)
		log_errno(err, "port %s: read", port->name);
	port->in_ended = true;
	control_changed(port->ports);
}

/* Reads input into a buffer; false if there is no input now. */
bool port_rx_handle(struct port *port, struct virtq_chain *chain)
{
	struct virtio_device *dev = port->ports->dev;
	struct iovs *v = &chain->writable;
	ssize_t n;

	if (!v->bytes) {
		virtio_device_break(dev, "input buffer is not writable");
		return false;
	}
	n = stream_readv(&port->in, v->iov, v->count);
	if (n <= 0 && n != -EAGAIN)
		input_ended(port, (int)-n);
	if (n <= 0)
		return false;
	virtio_queue_complete(dev, port_rx(port), chain->head, (uint32_t)n);
	port->rx_moved = true;
	return true;
}

static void in_ready(void *ctx, uint32_t events)
{
	struct port *port = ctx;

	(void)events;
	virtio_queue_serve(port->ports->dev, port_rx(port));
}

/* Watches the input while there is a buffer for it. */
void port_rx_served(struct port *port, enum virtio_served why)
{
	bool room = why == VIRTIO_SERVED_WAIT || why == VIRTIO_SERVED_BUDGET;
	struct virtio_device *dev = port->ports->dev;
	bool moved = port->rx_moved;

	port->rx_moved = false;
	if (room && port_takes_input(port))
		watch_start(&port->in_watch, dev, EPOLLIN, in_ready, port);
	else
		watch_stop(&port->in_watch);
	/* epoll does not watch a regular file: ask for the next read. */
	if (port->in_watch.always_ready && moved)
		virtio_queue_kick(dev, port_rx(port));
}

/* The output is closed: EPIPE is for the guest, other errors for the user. */
static void output_gone(struct port *port, int err)
{
	if (err != EPIPE && err != ECONNRESET)
		log_errno(err, "port %s: write", port->name);
	port->out_gone = true;
	control_changed(port->ports);
}

/* Writes the rest of the chain; true if all of it was written or dropped. */
static bool tx_drain(struct port *port, struct iovs *v)
{
	iovs_skip(v, port->state.tx_done);
	while (v->bytes && port->out.fd >= 0 && !port->out_gone) {
		ssize_t n = stream_writev(&port->out, v->iov, v->count);

		if (n == 0 || n == -EAGAIN)
			return false;
		if (n < 0) {
			output_gone(port, (int)-n);
			break;
		}
		iovs_skip(v, (uint64_t)n);
		port->state.tx_done += (uint64_t)n;
	}
	port->state.tx_done = 0;
	return true;
}

/* Writes one chain of output; false if the reader is slow. */
bool port_tx_handle(struct port *port, struct virtq_chain *chain)
{
	if (!tx_drain(port, &chain->readable))
		return false;
	virtio_queue_complete(port->ports->dev, port_tx(port), chain->head, 0);
	return true;
}

static void out_ready(void *ctx, uint32_t events)
{
	struct port *port = ctx;

	(void)events;
	virtio_queue_serve(port->ports->dev, port_tx(port));
}

/* Watches the output while a chain waits for a slow reader. */
void port_tx_served(struct port *port, enum virtio_served why)
{
	struct virtio_device *dev = port->ports->dev;

	/* A device that does not run will write nothing more. */
	port->tx_idle = why == VIRTIO_SERVED_EMPTY ||
			(why == VIRTIO_SERVED_STOPPED && !dev->quiesced);
	if (why == VIRTIO_SERVED_WAIT)
		watch_start(&port->out_watch, dev, EPOLLOUT, out_ready, port);
	else
		watch_stop(&port->out_watch);
}

void port_stop(struct port *port)
{
	watch_stop(&port->in_watch);
	watch_stop(&port->out_watch);
}
