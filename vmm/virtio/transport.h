/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interface of a virtio device to its transport: life and registers.
 */
#ifndef VMM_VIRTIO_TRANSPORT_H
#define VMM_VIRTIO_TRANSPORT_H

#include "vmm/virtio/device.h"

/*
 * Makes a device.  0 or -errno, logged; virtio_device_finish() cleans up in
 * either case, and destroys @impl.
 */
int virtio_device_init(struct virtio_device *dev, const struct virtio_ops *ops,
		       void *impl, const struct virtio_host *host,
		       const char *name, const struct virtio_config *config);
void virtio_device_finish(struct virtio_device *dev);

/* For transports: registers.  Any thread but the loop's, no lock held. */

uint8_t virtio_status(struct virtio_device *dev);
/*
 * A write of the status register.  0 resets and returns when all work has
 * ended; FEATURES_OK stays clear when the features are not acceptable.
 */
void virtio_status_write(struct virtio_device *dev, uint8_t status);

/*
 * Features offered and accepted: the half chosen by @select, 0 or 1; others
 * are zero, and read-only.  No effect after FEATURES_OK.
 */
uint32_t virtio_features_offered(const struct virtio_device *dev,
				 uint32_t select);
uint32_t virtio_features_accepted(struct virtio_device *dev, uint32_t select);
void virtio_features_write(struct virtio_device *dev, uint32_t select,
			   uint32_t value);

/*
 * Size and addresses of queue @queue; zeros for a queue that does not exist.
 * Writes to an enabled queue, or to one that does not exist, have no effect.
 */
struct virtq_layout virtio_queue_layout(struct virtio_device *dev,
					unsigned int queue, bool *enabled);
void virtio_queue_set_layout(struct virtio_device *dev, unsigned int queue,
			     const struct virtq_layout *layout);
/* Enables it; a bad size or address breaks the device. */
void virtio_queue_enable(struct virtio_device *dev, unsigned int queue);

/* Device config space: reads of 1 to 8 bytes anywhere; it is read-only. */
uint64_t virtio_config_read(struct virtio_device *dev, uint64_t offset,
			    unsigned int size);
/* Changes whenever the space changes (virtio 1.2, 2.5.3). */
uint8_t virtio_config_generation(struct virtio_device *dev);

/*
 * Whether the transport allows accesses to guest memory; initially not.  Without
 * it no queue is served, even if kicked; when it is allowed, all queues are
 * served.  Status and queues do not change.  Loop thread.
 */
void virtio_device_set_master(struct virtio_device *dev, bool master);

/* As reset() in struct device_ops. */
void virtio_device_reset(struct virtio_device *dev);
int virtio_device_quiesce(struct virtio_device *dev, uint64_t deadline_ns);
void virtio_device_resume(struct virtio_device *dev);
/* These two on the loop thread. */
void virtio_device_save(struct virtio_device *dev, struct snap_writer *w);
int virtio_device_load(struct virtio_device *dev, struct snap_reader *r);

#endif
