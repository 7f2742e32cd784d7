// SPDX-License-Identifier: BSD-2-Clause
/*
 * The life of a virtio device: init, start, reset, quiesce, resume.  Functions
 * named *_on_loop run on the loop thread by loop_call().
 */
#include "vmm/virtio/device.h"

#include <linux/virtio_config.h>
#include <stdio.h>
#include <string.h>

#include "vmm/bus/loop.h"
#include "vmm/virtio/private.h"

/* Power-on state of the registers; lock held, or before any other thread. */
static void state_reset(struct virtio_device *dev)
{
	memset(&dev->state, 0, sizeof(dev->state));
	for (unsigned int i = 0; i < dev->config.queue_count; i++)
		dev->state.layout[i].size = dev->ops->queue_size;
}

int virtio_device_init(struct virtio_device *dev, const struct virtio_ops *ops,
		       void *impl, const struct virtio_host *host,
		       const char *name, const struct virtio_config *config)
{
	memset(dev, 0, sizeof(*dev));
	dev->ops = ops;
	dev->impl = impl;
	dev->host = *host;
	dev->config = *config;
	snprintf(dev->name, sizeof(dev->name), "%s", name);
	pthread_mutex_init(&dev->lock, NULL);
	state_reset(dev);
	return virtio_queues_init(dev);
}

void virtio_device_finish(struct virtio_device *dev)
{
	if (dev->ops == NULL)
		return;
	virtio_queues_finish(dev);
	dev->ops->destroy(dev->impl);
	pthread_mutex_destroy(&dev->lock);
	dev->ops = NULL;
}

static void reset_on_loop(void *ctx)
{
	struct virtio_device *dev = ctx;

	virtio_queues_drain(dev);
	dev->running = false;
	dev->loaded = false;
	dev->config_changed = false;
	if (dev->ops->reset)
		dev->ops->reset(dev->impl);
	virtio_queues_reset(dev);
	pthread_mutex_lock(&dev->lock);
	state_reset(dev);
	pthread_mutex_unlock(&dev->lock);
}

void virtio_device_reset(struct virtio_device *dev)
{
	loop_call(dev->host.loop, reset_on_loop, dev);
}

/* Serves each queue: it may hold chains that were added earlier. */
static void serve_queues(struct virtio_device *dev)
{
	for (unsigned int i = 0; i < dev->config.queue_count; i++)
		virtio_queue_serve(dev, i);
}

/* DRIVER_OK: buffers are used from now on (virtio 1.2, 3.1.1). */
static void start_on_loop(void *ctx)
{
	struct virtio_device *dev = ctx;
	uint8_t status;
	bool started;

	pthread_mutex_lock(&dev->lock);
	/* Another vCPU may have started or reset the device since. */
	started = dev->state.status & VIRTIO_CONFIG_S_DRIVER_OK;
	if (dev->state.status & VIRTIO_CONFIG_S_FEATURES_OK)
		dev->state.status |= VIRTIO_CONFIG_S_DRIVER_OK;
	status = dev->state.status;
	pthread_mutex_unlock(&dev->lock);
	if (started)
		return;
	dev->running = (status & VIRTIO_CONFIG_S_DRIVER_OK) &&
		       !(status & VIRTIO_CONFIG_S_NEEDS_RESET);
	if (dev->running && dev->ops->start)
		dev->ops->start(dev->impl);
	serve_queues(dev);
}

void virtio_device_start(struct virtio_device *dev)
{
	loop_call(dev->host.loop, start_on_loop, dev);
}

void virtio_device_set_master(struct virtio_device *dev, bool master)
{
	bool before = dev->master;

	if (before && !master)
		virtio_queues_drain(dev);
	dev->master = master;
	if (master && !before)
		serve_queues(dev);
}

/* An argument of loop_call(). */
struct quiesce_call {
	struct virtio_device *dev;
	uint64_t deadline_ns;
	int result;
};

static void quiesce_on_loop(void *ctx)
{
	struct quiesce_call *call = ctx;
	struct virtio_device *dev = call->dev;

	if (dev->ops->quiesce)
		call->result = dev->ops->quiesce(dev->impl, call->deadline_ns);
	if (call->result < 0)
		return;
	virtio_queues_drain(dev);
	dev->quiesced = true;
}

int virtio_device_quiesce(struct virtio_device *dev, uint64_t deadline_ns)
{
	struct quiesce_call call = { .dev = dev, .deadline_ns = deadline_ns };

	loop_call(dev->host.loop, quiesce_on_loop, &call);
	return call.result;
}

/*
 * After a load the rings are mapped only here, because the page source that
 * fills them is ready by now.  Each queue is interrupted once, in case an
 * interrupt was pending when the state was saved; a spurious one is harmless.
 */
static void queues_restore(struct virtio_device *dev)
{
	for (unsigned int i = 0; i < dev->config.queue_count; i++) {
		const struct virtq *ring = &dev->queues[i].ring;

		if (dev->state.enabled[i] &&
		    virtio_queue_setup(dev, i, ring->next_avail,
				       ring->next_used) &&
		    dev->running)
			dev->interrupt(dev->transport, (uint16_t)i);
	}
}

void virtio_config_signal(struct virtio_device *dev)
{
	dev->config_changed = dev->running && dev->quiesced;
	if (dev->running && !dev->quiesced)
		dev->interrupt(dev->transport, VIRTIO_CONFIG_CHANGE);
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
	if (dev->config_changed)
		virtio_config_signal(dev);
	/*
	 * Kicked, not served here: the thread that resumes must not wait for
	 * the requests, as one of them may need an unavailable page.
	 */
	for (unsigned int i = 0; i < dev->config.queue_count; i++)
		virtio_queue_kick(dev, i);
}

void virtio_device_resume(struct virtio_device *dev)
{
	loop_call(dev->host.loop, resume_on_loop, dev);
}
