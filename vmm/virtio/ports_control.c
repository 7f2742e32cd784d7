// SPDX-License-Identifier: BSD-2-Clause
/*
 * The control queues of a device with ports (virtio 1.2, 5.3.6.2): which ports
 * there are, their names, and which ends are open.
 *
 * Messages to the guest are not queued: what is due follows from the state of the
 * ports, so a driver cannot make the list of them grow, and a message says how
 * things are when it is sent.
 *
 * Loop thread.
 */
#include <linux/virtio_console.h>
#include <stddef.h>

#include "vmm/base/bytes.h"
#include "vmm/virtio/ports_private.h"

#define MESSAGE_BYTES sizeof(struct virtio_console_control)

/* Whether the host's end is open; the guest may not have been notified yet. */
static bool port_is_open(const struct port *port)
{
	return (port->in.fd >= 0 || port->out.fd >= 0) && !port->in_ended &&
	       !port->out_gone;
}

static bool open_is_due(const struct port *port)
{
	const struct port_state *s = &port->state;

	return s->ready && (s->open_due || s->host_open != port_is_open(port));
}

static bool port_has_message(const struct port *port)
{
	const struct port_state *s = &port->state;

	return s->add_due || open_is_due(port) || (s->ready && s->name_due);
}

bool control_has_message(const struct ports *p)
{
	for (unsigned int i = 0; i < p->count; i++)
		if (port_has_message(&p->list[i]))
			return true;
	return false;
}

void control_changed(struct ports *p)
{
	if (control_has_message(p))
		virtio_queue_kick(p->dev, QUEUE_CONTROL_RX);
}

static void message_put(uint8_t *to, const struct port *port, uint16_t event,
			uint16_t value)
{
	put_le32(to + offsetof(struct virtio_console_control, id), port->id);
	put_le16(to + offsetof(struct virtio_console_control, event), event);
	put_le16(to + offsetof(struct virtio_console_control, value), value);
}

/*
 * Writes the message that is due first; returns its length.  The state comes before
 * the name, by which a process of the guest finds the port.
 */
static size_t message_next(const struct port *port, uint8_t *to)
{
	size_t name_bytes = strlen(port->name);

	if (port->state.add_due) {
		message_put(to, port, VIRTIO_CONSOLE_PORT_ADD, 1);
		return MESSAGE_BYTES;
	}
	if (open_is_due(port)) {
		message_put(to, port, VIRTIO_CONSOLE_PORT_OPEN,
			    port_is_open(port));
		return MESSAGE_BYTES;
	}
	message_put(to, port, VIRTIO_CONSOLE_PORT_NAME, 1);
	memcpy(to + MESSAGE_BYTES, port->name, name_bytes);
	return MESSAGE_BYTES + name_bytes;
}

/* The message of message_next() was sent. */
static void message_sent(struct port *port)
{
	struct port_state *s = &port->state;

	if (s->add_due) {
		s->add_due = false;
	} else if (open_is_due(port)) {
		s->open_due = false;
		s->host_open = port_is_open(port);
		virtio_queue_kick(port->ports->dev, port_rx(port));
	} else {
		s->name_due = false;
	}
}

bool control_rx(struct ports *p, struct virtq_chain *chain)
{
	uint8_t message[MESSAGE_BYTES + VIRTIO_PORT_NAME_BYTES];
	struct port *port = p->list;
	size_t len;

	while (port < &p->list[p->count] && !port_has_message(port))
		port++;
	if (port == &p->list[p->count])
		return false;
	len = message_next(port, message);
	if (chain->writable.bytes < len) {
		virtio_device_break(p->dev, "control buffer is too small");
		return false;
	}
	iovs_put(&chain->writable, message, len);
	message_sent(port);
	virtio_queue_complete(p->dev, QUEUE_CONTROL_RX, chain->head,
			      (uint32_t)len);
	return true;
}

/* The driver has the port (again), or could not set it up. */
static void port_ready(struct port *port, bool ready)
{
	struct port_state *s = &port->state;

	s->ready = s->open_due = s->name_due = ready;
	s->host_open = false;
	if (!ready)
		s->guest_open = false;
}

/* One message about a port; false if there is no such event. */
static bool port_message(struct port *port, uint16_t event, bool value)
{
	if (event == VIRTIO_CONSOLE_PORT_READY)
		port_ready(port, value);
	else if (event == VIRTIO_CONSOLE_PORT_OPEN)
		port->state.guest_open = value;
	else
		return false;
	virtio_queue_kick(port->ports->dev, port_rx(port));
	return true;
}

static bool message_handle(struct ports *p, const uint8_t *message)
{
	uint32_t id = get_le32(message);
	uint16_t event = get_le16(
		message + offsetof(struct virtio_console_control, event));
	bool value = get_le16(message + offsetof(struct virtio_console_control,
						 value)) != 0;

	/* The id of this one says nothing. */
	if (event == VIRTIO_CONSOLE_DEVICE_READY) {
		for (unsigned int i = 0; i < p->count; i++)
			p->list[i].state.add_due = value;
		return true;
	}
	return id < p->count && port_message(&p->list[id], event, value);
}

bool control_tx(struct ports *p, struct virtq_chain *chain)
{
	uint8_t message[MESSAGE_BYTES];

	if (iovs_take(&chain->readable, message, sizeof(message)) !=
		    sizeof(message) ||
	    !message_handle(p, message))
		log_guest(&p->dev->log, "%s: control message ignored",
			  p->dev->name);
	virtio_queue_complete(p->dev, QUEUE_CONTROL_TX, chain->head, 0);
	control_changed(p);
	return true;
}
