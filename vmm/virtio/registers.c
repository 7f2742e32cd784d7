// SPDX-License-Identifier: BSD-2-Clause
/*
 * The registers of a virtio device, apart from how the transport encodes them:
 * status, features, queue layout, device config space.
 *
 * vCPU threads; dev->lock guards the registers.  Writes that concern the loop
 * thread's state go there by loop_call().
 */
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/bus/loop.h"
#include "vmm/virtio/private.h"

/* Offered by each device. */
#define RING_FEATURES                                             \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) | \
	 BIT(VIRTIO_RING_F_INDIRECT_DESC))

/* An argument of loop_call(). */
struct queue_call {
	struct virtio_device *dev;
	unsigned int queue;
};

static uint64_t offered(const struct virtio_device *dev)
{
	return dev->config.features | RING_FEATURES;
}

uint8_t virtio_status(struct virtio_device *dev)
{
	uint8_t status;

	pthread_mutex_lock(&dev->lock);
	status = dev->state.status;
	pthread_mutex_unlock(&dev->lock);
	return status;
}

bool virtio_features_good(const struct virtio_device *dev)
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
	status |= dev->state.status & VIRTIO_STATUS_DRIVER;
	refused = (status & VIRTIO_CONFIG_S_FEATURES_OK) &&
		  !virtio_features_good(dev);
	if (refused)
		status &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
	start = (status & VIRTIO_CONFIG_S_FEATURES_OK) &&
		(status & ~dev->state.status & VIRTIO_CONFIG_S_DRIVER_OK);
	/* DRIVER_OK is set where it takes effect, on the loop thread. */
	dev->state.status |= status & VIRTIO_STATUS_DRIVER &
			     (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
	pthread_mutex_unlock(&dev->lock);
	if (refused)
		log_guest(&dev->log, "%s: features of the driver refused",
			  dev->name);
	if (start)
		virtio_device_start(dev);
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
	if (queue >= dev->config.queue_count)
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
	if (queue >= dev->config.queue_count)
		return;
	pthread_mutex_lock(&dev->lock);
	if (!dev->state.enabled[queue])
		dev->state.layout[queue] = *layout;
	pthread_mutex_unlock(&dev->lock);
}

static void enable_on_loop(void *ctx)
{
	const struct queue_call *call = ctx;
	struct virtio_device *dev = call->dev;
	bool allowed;

	pthread_mutex_lock(&dev->lock);
	allowed = (dev->state.status & VIRTIO_CONFIG_S_FEATURES_OK) &&
		  !dev->state.enabled[call->queue];
	if (allowed)
		dev->state.enabled[call->queue] = true;
	pthread_mutex_unlock(&dev->lock);
	if (allowed && virtio_queue_setup(dev, call->queue, 0, 0))
		virtio_queue_serve(dev, call->queue);
}

void virtio_queue_enable(struct virtio_device *dev, unsigned int queue)
{
	struct queue_call call = { .dev = dev, .queue = queue };

	if (queue < dev->config.queue_count)
		loop_call(dev->host.loop, enable_on_loop, &call);
}

uint64_t virtio_config_read(struct virtio_device *dev, uint64_t offset,
			    unsigned int size)
{
	uint8_t bytes[8] = { 0 };
	bool awaited;

	pthread_mutex_lock(&dev->lock);
	for (unsigned int i = 0; i < size && i < sizeof(bytes); i++)
		if (offset + i < dev->config.space_bytes)
			bytes[i] = dev->config.space[offset + i];
	awaited = dev->config_awaited;
	dev->config_awaited = false;
	pthread_mutex_unlock(&dev->lock);
	if (awaited)
		virtio_queue_kick(dev, dev->config_reader);
	return get_le(bytes, size);
}

void virtio_config_await_read(struct virtio_device *dev, unsigned int queue)
{
	pthread_mutex_lock(&dev->lock);
	dev->config_awaited = true;
	dev->config_reader = queue;
	pthread_mutex_unlock(&dev->lock);
}

bool virtio_config_was_read(struct virtio_device *dev)
{
	bool awaited;

	pthread_mutex_lock(&dev->lock);
	awaited = dev->config_awaited;
	pthread_mutex_unlock(&dev->lock);
	return !awaited;
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

bool virtio_has(struct virtio_device *dev, unsigned int bit)
{
	bool has;

	pthread_mutex_lock(&dev->lock);
	has = dev->state.features & BIT(bit);
	pthread_mutex_unlock(&dev->lock);
	return has;
}
