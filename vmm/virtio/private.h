/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What device.c, registers.c, serve.c and device_state.c share.  Calls go one
 * way: device_state.c, registers.c, device.c, serve.c, queue.c.
 */
#ifndef VMM_VIRTIO_PRIVATE_H
#define VMM_VIRTIO_PRIVATE_H

#include "vmm/virtio/transport.h"

/* The status bits that a driver may set. */
#define VIRTIO_STATUS_DRIVER                                       \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |    \
	 VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FEATURES_OK | \
	 VIRTIO_CONFIG_S_FAILED)

/* registers.c: whether the accepted features are acceptable; lock held. */
bool virtio_features_good(const struct virtio_device *dev);

/* device.c: sets DRIVER_OK, starts the device, serves its queues. */
void virtio_device_start(struct virtio_device *dev);

/* serve.c; loop thread. */

/*
 * Makes the queues' eventfds and watches them; 0 or -errno, logged.
 * virtio_queues_finish() undoes it, however far it got.  Any thread.
 */
int virtio_queues_init(struct virtio_device *dev);
void virtio_queues_finish(struct virtio_device *dev);

/* Clears rings and pending kicks. */
void virtio_queues_reset(struct virtio_device *dev);

/*
 * Maps the rings of a queue where its registers say, with the indices given.
 * False if they cannot be used; the device does not run then.
 */
bool virtio_queue_setup(struct virtio_device *dev, unsigned int queue,
			uint16_t next_avail, uint16_t next_used);

/* Calls drain() for each queue, and interrupts; see struct virtio_ops. */
void virtio_queues_drain(struct virtio_device *dev);

#endif
