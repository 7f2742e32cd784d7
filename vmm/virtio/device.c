// SPDX-License-Identifier: BSD-2-Clause
/*
 * Status, features and queues of a virtio device.  See device.h for the threads
 * and the lock; functions named *_on_loop run on the loop thread by
 * loop_call().
 */
#include "vmm/virtio/device.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/bus/loop.h"
#include "vmm/snap/section.h"

#define BIT(n) (UINT64_C(1) << (n))

/* What every device of ours offers. */
#define RING_FEATURES                                             \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) | \
	 BIT(VIRTIO_RING_F_INDIRECT_DESC))

/* The status bits that a driver may set. */
#define STATUS_DRIVER                                              \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |    \
	 VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FEATURES_OK | \
	 VIRTIO_CONFIG_S_FAILED)

/* An argument of loop_call(). */
struct queue_call {
	struct virtio_device *dev;
	unsigned int queue;
};

static uint64_t offered(const struct virtio_device *dev)
{
	return dev->config.features | RING_FEATURES;
}

/* Power-on state; @dev->lock held or nobody else there. */
static void state_reset(struct virtio_device *dev)
{
	memset(&dev->state, 0, sizeof(dev->state));
	for (unsigned int i = 0; i < dev->ops->queue_count; i++)
		dev->state.layout[i].size = dev->ops->queue_size;
}

/* Empties an eventfd. */
static void kick_drain(int fd)
{
	uint64_t count;

	/* Empty already is fine. */
	if (read(fd, &count, sizeof(count)) < 0)
		return;
}

/* Tells the device to look at a queue, if it is there to be looked at. */
static void queue_notify(struct virtio_device *dev, unsigned int queue)
{
	if (virtio_queue_ready(dev, queue))
		dev->ops->notify(dev->impl, queue);
}

/* The driver's notification arrived.  Loop thread. */
static void kicked(void *ctx, uint32_t events)
{
	struct virtio_queue *q = ctx;
	struct virtio_device *dev = q->device;

	(void)events;
	kick_drain(q->kick_fd);
	queue_notify(dev, (unsigned int)(q - dev->queues));
}

/* Makes a queue's eventfd and watches it. */
static int queue_init(struct virtio_device *dev, struct virtio_queue *q)
{
	q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->kick_fd < 0)
		return log_errno(errno, "%s: eventfd", dev->name);
	return 0;
}

/* Watches all queues' eventfds; on the loop thread, or before it runs. */
static void watch_on_loop(void *ctx)
{
	struct virtio_device *dev = ctx;

	for (unsigned int i = 0; i < dev->ops->queue_count; i++) {
		struct virtio_queue *q = &dev->queues[i];
		int err = loop_add(dev->host.loop, &q->source, q->kick_fd,
				   EPOLLIN, kicked, q);

		if (err < 0)
			log_errno(-err, "%s: watch a queue", dev->name);
	}
}

int virtio_device_init(struct virtio_device *dev, const struct virtio_ops *ops,
		       void *impl, const struct virtio_host *host,
		       const char *name, const struct virtio_config *config)
{
	int err;

	memset(dev, 0, sizeof(*dev));
	dev->ops = ops;
	dev->impl = impl;
	dev->host = *host;
	dev->config = *config;
	snprintf(dev->name, sizeof(dev->name), "%s", name);
	pthread_mutex_init(&dev->lock, NULL);
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		dev->queues[i].device = dev;
		dev->queues[i].kick_fd = -1;
	}
	state_reset(dev);
	for (unsigned int i = 0; i < ops->queue_count; i++) {
		err = queue_init(dev, &dev->queues[i]);
		if (err < 0)
			return err;
	}
	loop_call(host->loop, watch_on_loop, dev);
	for (unsigned int i = 0; i < ops->queue_count; i++)
		if (dev->queues[i].source == NULL)
			return -EIO;
	return 0;
}

/* Stops watching. */
static void unwatch_on_loop(void *ctx)
{
	struct virtio_device *dev = ctx;

	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		loop_remove(dev->queues[i].source);
}

void virtio_device_finish(struct virtio_device *dev)
{
	if (dev->ops == NULL)
		return;
	loop_call(dev->host.loop, unwatch_on_loop, dev);
	dev->ops->destroy(dev->impl);
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		if (dev->queues[i].kick_fd >= 0)
			close(dev->queues[i].kick_fd);
	pthread_mutex_destroy(&dev->lock);
	dev->ops = NULL;
}

/* Ends all work and forgets everything.  Loop thread. */
static void reset_on_loop(void *ctx)
{
	struct virtio_device *dev = ctx;

	dev->running = false;
	dev->loaded = false;
	if (dev->ops->reset)
		dev->ops->reset(dev->impl);
	for (unsigned int i = 0; i < dev->ops->queue_count; i++) {
		memset(&dev->queues[i].ring, 0, sizeof(dev->queues[i].ring));
		kick_drain(dev->queues[i].kick_fd);
	}
	pthread_mutex_lock(&dev->lock);
	state_reset(dev);
	pthread_mutex_unlock(&dev->lock);
}

void virtio_device_reset(struct virtio_device *dev)
{
	loop_call(dev->host.loop, reset_on_loop, dev);
}

/* Looks at all queues: they may have been filled before.  Loop thread. */
static void look_at_queues(struct virtio_device *dev)
{
	for (unsigned int i = 0; i < dev->ops->queue_count; i++)
		queue_notify(dev, i);
}

/* DRIVER_OK: from here on buffers are used (virtio 1.2, 3.1.1). */
static void start_on_loop(void *ctx)
{
	struct virtio_device *dev = ctx;
	uint8_t status;

	pthread_mutex_lock(&dev->lock);
	/* A reset by another vCPU may have come in between. */
	if (dev->state.status & VIRTIO_CONFIG_S_FEATURES_OK)
		dev->state.status |= VIRTIO_CONFIG_S_DRIVER_OK;
	status = dev->state.status;
	pthread_mutex_unlock(&dev->lock);
	dev->running = (status & VIRTIO_CONFIG_S_DRIVER_OK) &&
		       !(status & VIRTIO_CONFIG_S_NEEDS_RESET);
	if (dev->running && dev->ops->start)
		dev->ops->start(dev->impl);
	look_at_queues(dev);
}

void virtio_device_set_master(struct virtio_device *dev, bool master)
{
	bool before = dev->master;

	dev->master = master;
	if (master && !before)
		look_at_queues(dev);
}

uint8_t virtio_status(struct virtio_device *dev)
{
	uint8_t status;

	pthread_mutex_lock(&dev->lock);
	status = dev->state.status;
	pthread_mutex_unlock(&dev->lock);
	return status;
}

/* Whether the accepted features can be worked with; lock held. */
static bool features_good(const struct virtio_device *dev)
{
	uint64_t f = dev->state.features;

	return (f & ~offered(dev)) == 0 && (f & BIT(VIRTIO_F_VERSION_1));
}

/*
 * Sets what the driver may set.  A bit once set stays until reset, and
 * DRIVER_OK waits for FEATURES_OK (virtio 1.2, 2.1.1 and 3.1.1).
 */
void virtio_status_write(struct virtio_device *dev, uint8_t status)
{
	bool start, refused;

	if (status == 0) {
		virtio_device_reset(dev);
		return;
	}
	pthread_mutex_lock(&dev->lock);
	status |= dev->state.status & STATUS_DRIVER;
	refused = (status & VIRTIO_CONFIG_S_FEATURES_OK) && !features_good(dev);
	if (refused)
		status &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
	start = (status & VIRTIO_CONFIG_S_FEATURES_OK) &&
		(status & ~dev->state.status & VIRTIO_CONFIG_S_DRIVER_OK);
	/* DRIVER_OK is set where it takes effect, on the loop thread. */
	dev->state.status |=
		status & STATUS_DRIVER & (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
	pthread_mutex_unlock(&dev->lock);
	if (refused)
		log_guest(&dev->log, "%s: the driver's features are refused",
			  dev->name);
	if (start)
		loop_call(dev->host.loop, start_on_loop, dev);
}

uint32_t virtio_features_offered(const struct virtio_device *dev,
				 uint32_t select)
{
	return select < 2 ? (uint32_t)(offered(dev) >> (32 * select)) : 0;
}

uint32_t virtio_features_accepted(struct virtio_device *dev, uint32_t select)
{
	uint64_t features;

	pthread_mutex_lock(&dev->lock);
	features = dev->state.features;
	pthread_mutex_unlock(&dev->lock);
	return select < 2 ? (uint32_t)(features >> (32 * select)) : 0;
}

void virtio_features_write(struct virtio_device *dev, uint32_t select,
			   uint32_t value)
{
	unsigned int shift = 32 * (select & 1);

	if (select >= 2)
		return;
	pthread_mutex_lock(&dev->lock);
	/* Once agreed they are fixed until reset. */
	if (!(dev->state.status & VIRTIO_CONFIG_S_FEATURES_OK)) {
		dev->state.features &= ~((uint64_t)UINT32_MAX << shift);
		dev->state.features |= (uint64_t)value << shift;
	}
	pthread_mutex_unlock(&dev->lock);
}

struct virtq_layout virtio_queue_layout(struct virtio_device *dev,
					unsigned int queue, bool *enabled)
{
	struct virtq_layout layout = { 0 };

	*enabled = false;
	if (queue >= dev->ops->queue_count)
		return layout;
	pthread_mutex_lock(&dev->lock);
	layout = dev->state.layout[queue];
	*enabled = dev->state.enabled[queue];
	pthread_mutex_unlock(&dev->lock);
	return layout;
}

void virtio_queue_set_layout(struct virtio_device *dev, unsigned int queue,
			     const struct virtq_layout *layout)
{
	if (queue >= dev->ops->queue_count)
		return;
	pthread_mutex_lock(&dev->lock);
	if (!dev->state.enabled[queue])
		dev->state.layout[queue] = *layout;
	pthread_mutex_unlock(&dev->lock);
}

/* Maps a queue's rings as its registers say; 0 or -errno.  Loop thread. */
static int queue_setup(struct virtio_device *dev, unsigned int queue,
		       uint16_t next_avail, uint16_t next_used)
{
	struct virtq *ring = &dev->queues[queue].ring;
	struct virtq_layout layout;

	pthread_mutex_lock(&dev->lock);
	layout = dev->state.layout[queue];
	ring->event_idx = dev->state.features & BIT(VIRTIO_RING_F_EVENT_IDX);
	ring->indirect = dev->state.features & BIT(VIRTIO_RING_F_INDIRECT_DESC);
	pthread_mutex_unlock(&dev->lock);
	if (layout.size > dev->ops->queue_size)
		return -EINVAL;
	return virtq_setup(ring, dev->host.memory, &layout, next_avail,
			   next_used);
}

/*
 * A queue cannot be used.  Where its pages cannot be had the machine ends, and
 * the pager has said why: that is not the driver's fault.
 */
static void queue_failed(struct virtio_device *dev, int err, const char *why)
{
	if (err == -EIO)
		dev->running = false;
	else
		virtio_device_break(dev, why);
}

static void enable_on_loop(void *ctx)
{
	const struct queue_call *call = ctx;
	struct virtio_device *dev = call->dev;
	bool allowed;
	int err;

	pthread_mutex_lock(&dev->lock);
	allowed = (dev->state.status & VIRTIO_CONFIG_S_FEATURES_OK) &&
		  !dev->state.enabled[call->queue];
	if (allowed)
		dev->state.enabled[call->queue] = true;
	pthread_mutex_unlock(&dev->lock);
	if (!allowed)
		return;
	err = queue_setup(dev, call->queue, 0, 0);
	if (err < 0)
		queue_failed(dev, err, "queue of bad size or place");
	else
		queue_notify(dev, call->queue);
}

void virtio_queue_enable(struct virtio_device *dev, unsigned int queue)
{
	struct queue_call call = { .dev = dev, .queue = queue };

	if (queue < dev->ops->queue_count)
		loop_call(dev->host.loop, enable_on_loop, &call);
}

void virtio_queue_kick(struct virtio_device *dev, unsigned int queue)
{
	uint64_t one = 1;

	if (queue >= dev->ops->queue_count)
		return;
	/* A full counter is a kick as well. */
	if (write(dev->queues[queue].kick_fd, &one, sizeof(one)) < 0)
		return;
}

uint64_t virtio_config_read(struct virtio_device *dev, uint64_t offset,
			    unsigned int size)
{
	uint8_t bytes[8] = { 0 };

	pthread_mutex_lock(&dev->lock);
	for (unsigned int i = 0; i < size && i < sizeof(bytes); i++)
		if (offset + i < dev->config.space_bytes)
			bytes[i] = dev->config.space[offset + i];
	pthread_mutex_unlock(&dev->lock);
	return get_le(bytes, size);
}

uint8_t virtio_config_generation(struct virtio_device *dev)
{
	uint8_t generation;

	pthread_mutex_lock(&dev->lock);
	generation = dev->config_generation;
	pthread_mutex_unlock(&dev->lock);
	return generation;
}

void virtio_config_put(struct virtio_device *dev, unsigned int offset,
		       const void *bytes, unsigned int len)
{
	uint8_t *at = dev->config.space + offset;

	pthread_mutex_lock(&dev->lock);
	if (memcmp(at, bytes, len) != 0) {
		memcpy(at, bytes, len);
		dev->config_generation++;
	}
	pthread_mutex_unlock(&dev->lock);
}

void virtio_config_signal(struct virtio_device *dev)
{
	if (dev->running && !dev->quiesced)
		dev->interrupt(dev->transport, VIRTIO_CONFIG_CHANGE);
}

static void quiesce_on_loop(void *ctx)
{
	struct virtio_device *dev = ctx;

	if (dev->ops->quiesce)
		dev->ops->quiesce(dev->impl);
	dev->quiesced = true;
}

void virtio_device_quiesce(struct virtio_device *dev)
{
	loop_call(dev->host.loop, quiesce_on_loop, dev);
}

/*
 * After a load the rings are mapped only here: the page source that fills them
 * is ready by now.  Each queue is interrupted once, for an interrupt that was
 * on its way when the state was saved; a driver takes one too many for nothing.
 */
static void queues_restore(struct virtio_device *dev)
{
	for (unsigned int i = 0; i < dev->ops->queue_count; i++) {
		struct virtq *ring = &dev->queues[i].ring;
		int err;

		if (!dev->state.enabled[i])
			continue;
		err = queue_setup(dev, i, ring->next_avail, ring->next_used);
		if (err < 0)
			queue_failed(dev, err, "queue of bad size or place");
		else if (dev->running)
			dev->interrupt(dev->transport, (uint16_t)i);
	}
}

static void resume_on_loop(void *ctx)
{
	struct virtio_device *dev = ctx;

	dev->quiesced = false;
	if (dev->loaded)
		queues_restore(dev);
	dev->loaded = false;
	if (dev->ops->resume)
		dev->ops->resume(dev->impl);
	/*
	 * As if the driver had kicked: the thread that resumes must not wait
	 * for the requests, of which one may need an unavailable page.
	 */
	for (unsigned int i = 0; i < dev->ops->queue_count; i++)
		virtio_queue_kick(dev, i);
}

void virtio_device_resume(struct virtio_device *dev)
{
	loop_call(dev->host.loop, resume_on_loop, dev);
}

void virtio_device_save(struct virtio_device *dev, struct snap_writer *w)
{
	const struct virtio_state *s = &dev->state;

	snap_put_u8(w, s->status);
	snap_put_u64(w, s->features);
	snap_put_u16(w, dev->ops->queue_count);
	for (unsigned int i = 0; i < dev->ops->queue_count; i++) {
		snap_put_u8(w, s->enabled[i]);
		snap_put_u16(w, s->layout[i].size);
		snap_put_u64(w, s->layout[i].desc);
		snap_put_u64(w, s->layout[i].avail);
		snap_put_u64(w, s->layout[i].used);
		snap_put_u16(w, dev->queues[i].ring.next_avail);
		snap_put_u16(w, dev->queues[i].ring.next_used);
	}
	if (dev->ops->save)
		dev->ops->save(dev->impl, w);
}

/* Reads what _save() wrote; sense is checked by the caller. */
static void state_read(struct virtio_device *dev, struct snap_reader *r)
{
	struct virtio_state *s = &dev->state;

	s->status = snap_get_u8(r);
	s->features = snap_get_u64(r);
	if (snap_get_u16(r) != dev->ops->queue_count)
		snap_reader_fail(r);
	for (unsigned int i = 0; i < dev->ops->queue_count; i++) {
		s->enabled[i] = snap_get_u8(r) & 1;
		s->layout[i].size = snap_get_u16(r);
		s->layout[i].desc = snap_get_u64(r);
		s->layout[i].avail = snap_get_u64(r);
		s->layout[i].used = snap_get_u64(r);
		dev->queues[i].ring.next_avail = snap_get_u16(r);
		dev->queues[i].ring.next_used = snap_get_u16(r);
	}
}

/*
 * Whether a loaded state is one that a device can be in.  Sizes and places of
 * queues are checked when they are mapped, as a driver's are.
 */
static bool state_good(const struct virtio_device *dev)
{
	uint8_t status = dev->state.status;
	bool agreed = status & VIRTIO_CONFIG_S_FEATURES_OK;

	if (status & ~(STATUS_DRIVER | VIRTIO_CONFIG_S_NEEDS_RESET))
		return false;
	if (agreed && !features_good(dev))
		return false;
	return agreed || !(status & VIRTIO_CONFIG_S_DRIVER_OK);
}

int virtio_device_load(struct virtio_device *dev, struct snap_reader *r)
{
	int err = 0;

	virtio_device_reset(dev);
	state_read(dev, r);
	if (dev->ops->load)
		err = dev->ops->load(dev->impl, r);
	if (err == 0 && (r->error || !state_good(dev)))
		err = -EBADMSG;
	if (err < 0) {
		virtio_device_reset(dev);
		return err;
	}
	dev->running = (dev->state.status & VIRTIO_CONFIG_S_DRIVER_OK) &&
		       !(dev->state.status & VIRTIO_CONFIG_S_NEEDS_RESET);
	dev->loaded = true;
	return 0;
}

bool virtio_has(struct virtio_device *dev, unsigned int bit)
{
	bool has;

	pthread_mutex_lock(&dev->lock);
	has = dev->state.features & BIT(bit);
	pthread_mutex_unlock(&dev->lock);
	return has;
}

bool virtio_queue_ready(const struct virtio_device *dev, unsigned int queue)
{
	return dev->running && !dev->quiesced && dev->master &&
	       dev->queues[queue].ring.size != 0;
}

bool virtio_queue_pop(struct virtio_device *dev, unsigned int queue,
		      struct virtq_chain *chain)
{
	const char *why = "bad descriptor chain";
	int got;

	if (!virtio_queue_ready(dev, queue))
		return false;
	got = virtq_pop(&dev->queues[queue].ring, chain, &why);
	if (got < 0)
		queue_failed(dev, got, why);
	return got > 0;
}

void virtio_queue_signal(struct virtio_device *dev, unsigned int queue)
{
	if (virtq_wants_interrupt(&dev->queues[queue].ring))
		dev->interrupt(dev->transport, (uint16_t)queue);
}

void virtio_queue_run(struct virtio_device *dev, unsigned int queue,
		      void (*handle)(void *device, struct virtq *ring,
				     struct virtq_chain *chain))
{
	struct virtq *ring = &dev->queues[queue].ring;
	unsigned int budget = ring->size;
	uint16_t before = ring->next_used;

	virtq_kicks_off(ring);
	while (virtio_queue_ready(dev, queue)) {
		if (budget-- == 0) {
			virtio_queue_kick(dev, queue);
			break;
		}
		if (virtio_queue_pop(dev, queue, &dev->chain))
			handle(dev->impl, ring, &dev->chain);
		else if (!dev->running || !virtq_kicks_on(ring))
			break;
		else
			virtq_kicks_off(ring);
	}
	if (ring->next_used != before)
		virtio_queue_signal(dev, queue);
}

void virtio_device_break(struct virtio_device *dev, const char *why)
{
	bool tell;

	dev->running = false;
	dev->errors++;
	pthread_mutex_lock(&dev->lock);
	/* virtio 1.2, 2.1.2: the notification is for a driver that is up. */
	tell = dev->state.status & VIRTIO_CONFIG_S_DRIVER_OK;
	dev->state.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	pthread_mutex_unlock(&dev->lock);
	log_guest(&dev->log, "%s: %s; the guest must reset it", dev->name, why);
	if (tell)
		dev->interrupt(dev->transport, VIRTIO_CONFIG_CHANGE);
}
