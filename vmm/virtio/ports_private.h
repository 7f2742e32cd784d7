/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by ports.c (the device), ports_data.c (the bytes) and ports_control.c (the
 * messages).  ports.c calls both; ports_data.c calls ports_control.c.
 *
 * Loop thread.
 */
#ifndef VMM_VIRTIO_PORTS_PRIVATE_H
#define VMM_VIRTIO_PORTS_PRIVATE_H

#include "vmm/io/stream.h"
#include "vmm/virtio/device.h"
#include "vmm/virtio/watch.h"

/* Port 0 has the queues before these (virtio 1.2, 5.3.2). */
enum { QUEUE_CONTROL_RX = 2, QUEUE_CONTROL_TX = 3 };

/* What the guest sees of a port; saved. */
struct port_state {
	bool add_due; /* PORT_ADD is to be sent */
	bool open_due; /* PORT_OPEN, even if it says nothing new */
	bool name_due; /* PORT_NAME */
	bool ready; /* the driver has the port */
	bool guest_open; /* a process of the guest has it open */
	bool host_open; /* by the last PORT_OPEN that was sent */
	uint64_t tx_done; /* bytes written of the next output chain */
};

struct port {
	struct ports *ports;
	unsigned int id;
	char name[VIRTIO_PORT_NAME_BYTES + 1];
	struct stream in, out; /* duplicates, owned; fd -1: none */
	struct watch in_watch, out_watch;
	bool in_ended; /* end of file, or an error */
	bool out_gone; /* it could not be written */
	bool rx_moved; /* input was read since the queue was last served */
	bool tx_idle; /* no output chain was left when it was last served */
	struct port_state state;
};

struct ports {
	struct virtio_device *dev;
	struct port list[VIRTIO_PORTS_MAX];
	unsigned int count;
	struct virtq_chain chain;
};

/* The queues of a port. */
static inline unsigned int port_rx(const struct port *port)
{
	return port->id ? 2 * port->id + 2 : 0;
}

static inline unsigned int port_tx(const struct port *port)
{
	return port_rx(port) + 1;
}

/* The port of a queue that is not one of the control queues. */
static inline struct port *port_of_queue(struct ports *p, unsigned int queue)
{
	return &p->list[queue < QUEUE_CONTROL_RX ? 0 : queue / 2 - 1];
}

/* ports_control.c */

/* As the functions of struct virtio_ops, for the control queues. */
bool control_has_message(const struct ports *p);
bool control_rx(struct ports *p, struct virtq_chain *chain);
bool control_tx(struct ports *p, struct virtq_chain *chain);

/* A message may be due: has the queue served. */
void control_changed(struct ports *p);

/* ports_data.c */

/* Whether the guest can take input of the port. */
bool port_takes_input(const struct port *port);

/* As the functions of struct virtio_ops, for the queues of a port. */
bool port_rx_handle(struct port *port, struct virtq_chain *chain);
bool port_tx_handle(struct port *port, struct virtq_chain *chain);
void port_rx_served(struct port *port, enum virtio_served why);
void port_tx_served(struct port *port, enum virtio_served why);

/* Until a queue of the port is served again no transfer starts. */
void port_stop(struct port *port);

#endif
