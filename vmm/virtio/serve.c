// SPDX-License-Identifier: BSD-2-Clause
/*
 * The one path of a virtqueue: from the driver's kick through the device's
 * handle() to the used ring and the interrupt.
 *
 *	kicked()	the event loop read the queue's eventfd
 *	serve_one()	pops a chain and calls handle()
 *	virtio_queue_complete()	pushes to the used ring
 *	signal_driver()	interrupts, once for all that was pushed
 *
 * Loop thread, no lock held; virtio_queue_kick() on any thread.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/event.h"
#include "vmm/bus/loop.h"
#include "vmm/virtio/private.h"

static bool queue_is_ready(const struct virtio_device *dev, unsigned int queue)
{
	return dev->running && !dev->quiesced && dev->master &&
	       dev->queues[queue].ring.size != 0;
}

/*
 * A queue is unusable.  -EIO: a page of it is unavailable.  The pager has
 * reported that and ends the machine; the driver is not at fault.
 */
static void queue_failed(struct virtio_device *dev, int err, const char *why)
{
	if (err == -EIO)
		dev->running = false;
	else
		virtio_device_break(dev, why);
}

/* The struct to pop the next chain into; NULL: the device has no room. */
static struct virtq_chain *room_for_chain(struct virtio_device *dev,
					  unsigned int queue)
{
	if (dev->ops->room)
		return dev->ops->room(dev->impl, queue);
	return &dev->chain;
}

/* Pops one chain and calls handle(); VIRTIO_SERVED_BUDGET: try the next. */
static enum virtio_served serve_one(struct virtio_device *dev,
				    unsigned int queue)
{
	struct virtq *ring = &dev->queues[queue].ring;
	struct virtq_chain *chain = room_for_chain(dev, queue);
	const char *why = "bad descriptor chain";
	int got;

	if (!chain)
		return VIRTIO_SERVED_WAIT;
	got = virtq_pop(ring, chain, &why);
	if (got < 0) {
		queue_failed(dev, got, why);
		return VIRTIO_SERVED_STOPPED;
	}
	if (got == 0) {
		if (!virtq_kicks_on(ring))
			return VIRTIO_SERVED_EMPTY;
		/* The driver added a chain just as kicks were enabled. */
		virtq_kicks_off(ring);
		return VIRTIO_SERVED_BUDGET;
	}
	if (dev->ops->handle(dev->impl, queue, chain))
		return VIRTIO_SERVED_BUDGET;
	virtq_unpop(ring, 1);
	return VIRTIO_SERVED_WAIT;
}

/* Serves at most a ring's size of chains; returns why it stopped. */
static enum virtio_served serve_chains(struct virtio_device *dev,
				       unsigned int queue)
{
	struct virtq *ring = &dev->queues[queue].ring;
	enum virtio_served why = VIRTIO_SERVED_BUDGET;

	if (!queue_is_ready(dev, queue))
		return VIRTIO_SERVED_STOPPED;
	virtq_kicks_off(ring);
	for (unsigned int i = ring->size; i && dev->running; i--) {
		why = serve_one(dev, queue);
		if (why != VIRTIO_SERVED_BUDGET)
			break;
	}
	return dev->running ? why : VIRTIO_SERVED_STOPPED;
}

/* Interrupts if chains were pushed and the driver wants an interrupt. */
static void signal_driver(struct virtio_device *dev, unsigned int queue)
{
	struct virtio_queue *q = &dev->queues[queue];

	if (q->pushed && virtq_wants_interrupt(&q->ring))
		dev->interrupt(dev->transport, (uint16_t)queue);
	q->pushed = false;
}

void virtio_queue_serve(struct virtio_device *dev, unsigned int queue)
{
	enum virtio_served why = serve_chains(dev, queue);

	if (dev->ops->handled)
		dev->ops->handled(dev->impl, queue);
	signal_driver(dev, queue);
	if (why == VIRTIO_SERVED_BUDGET)
		virtio_queue_kick(dev, queue);
	if (dev->ops->served)
		dev->ops->served(dev->impl, queue, why);
}

void virtio_queue_complete(struct virtio_device *dev, unsigned int queue,
			   uint16_t head, uint32_t written)
{
	struct virtio_queue *q = &dev->queues[queue];

	if (!dev->running) {
		virtq_note(&q->ring, head);
		return;
	}
	virtq_push(&q->ring, head, written);
	q->pushed = true;
}

void virtio_queues_drain(struct virtio_device *dev)
{
	for (unsigned int i = 0; dev->ops->drain && i < dev->config.queue_count;
	     i++) {
		unsigned int unused = dev->ops->drain(dev->impl, i);

		virtq_unpop(&dev->queues[i].ring, unused);
		signal_driver(dev, i);
	}
}

void virtio_device_break(struct virtio_device *dev, const char *why)
{
	bool notify;

	dev->running = false;
	dev->errors++;
	pthread_mutex_lock(&dev->lock);
	/* Only a driver that set DRIVER_OK is notified (virtio 1.2, 2.1.2). */
	notify = dev->state.status & VIRTIO_CONFIG_S_DRIVER_OK;
	dev->state.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	pthread_mutex_unlock(&dev->lock);
	log_guest(&dev->log, "%s: %s; the guest must reset it", dev->name, why);
	if (notify)
		dev->interrupt(dev->transport, VIRTIO_CONFIG_CHANGE);
}

bool virtio_queue_setup(struct virtio_device *dev, unsigned int queue,
			uint16_t next_avail, uint16_t next_used)
{
	struct virtq *ring = &dev->queues[queue].ring;
	struct virtq_layout layout;
	int err = -EINVAL;

	pthread_mutex_lock(&dev->lock);
	layout = dev->state.layout[queue];
	ring->event_idx = dev->state.features & BIT(VIRTIO_RING_F_EVENT_IDX);
	ring->indirect = dev->state.features & BIT(VIRTIO_RING_F_INDIRECT_DESC);
	pthread_mutex_unlock(&dev->lock);
	if (layout.size <= dev->ops->queue_size)
		err = virtq_setup(ring, dev->host.memory, &layout, next_avail,
				  next_used);
	if (err < 0)
		queue_failed(dev, err, "queue with bad size or address");
	return err == 0;
}

void virtio_queue_kick(struct virtio_device *dev, unsigned int queue)
{
	if (queue < dev->config.queue_count)
		event_signal(dev->queues[queue].kick_fd);
}

static void kicked(void *ctx, uint32_t events)
{
	struct virtio_queue *q = ctx;

	(void)events;
	event_clear(q->kick_fd);
	virtio_queue_serve(q->device, (unsigned int)(q - q->device->queues));
}

static void watch_on_loop(void *ctx)
{
	struct virtio_device *dev = ctx;

	for (unsigned int i = 0; i < dev->config.queue_count; i++) {
		struct virtio_queue *q = &dev->queues[i];
		int err = loop_add(dev->host.loop, &q->source, q->kick_fd,
				   EPOLLIN, kicked, q);

		if (err < 0)
			log_errno(-err, "%s: watch eventfd of queue %u",
				  dev->name, i);
	}
}

int virtio_queues_init(struct virtio_device *dev)
{
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		dev->queues[i].device = dev;
		dev->queues[i].kick_fd = -1;
	}
	for (unsigned int i = 0; i < dev->config.queue_count; i++) {
		dev->queues[i].kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (dev->queues[i].kick_fd < 0)
			return log_errno(errno, "%s: eventfd", dev->name);
	}
	loop_call(dev->host.loop, watch_on_loop, dev);
	for (unsigned int i = 0; i < dev->config.queue_count; i++)
		if (dev->queues[i].source == NULL)
			return -EIO;
	return 0;
}

void virtio_queues_reset(struct virtio_device *dev)
{
	for (unsigned int i = 0; i < dev->config.queue_count; i++) {
		memset(&dev->queues[i].ring, 0, sizeof(dev->queues[i].ring));
		dev->queues[i].pushed = false;
		event_clear(dev->queues[i].kick_fd);
	}
}

static void unwatch_on_loop(void *ctx)
{
	struct virtio_device *dev = ctx;

	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		loop_remove(dev->queues[i].source);
}

void virtio_queues_finish(struct virtio_device *dev)
{
	loop_call(dev->host.loop, unwatch_on_loop, dev);
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		if (dev->queues[i].kick_fd >= 0)
			close(dev->queues[i].kick_fd);
}
