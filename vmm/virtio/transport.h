/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a transport needs of a virtio device: its life and its registers.
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

/* What is offered, and what the driver accepts; 32 bits each. */
uint32_t virtio_features_offered(const struct virtio_device *dev,
				 uint32_t select);
uint32_t virtio_features_accepted(struct virtio_device *dev, uint32_t select);
void virtio_features_write(struct virtio_device *dev, uint32_t select,
			   uint32_t value);

/*
 * Where queue @queue lies.  Writes to a queue that is enabled, or that is not
 * there, do nothing.
 */
struct virtq_layout virtio_queue_layout(struct virtio_device *dev,
					unsigned int queue, bool *enabled);
void virtio_queue_set_layout(struct virtio_device *dev, unsigned int queue,
			     const struct virtq_layout *layout);
/* Enables it; one that cannot be used breaks the device. */
void virtio_queue_enable(struct virtio_device *dev, unsigned int queue);

/* Device config space: reads of 1 to 8 bytes anywhere; it is read-only. */
uint64_t virtio_config_read(struct virtio_device *dev, uint64_t offset,
			    unsigned int size);
/* A number that is another after the space has changed (virtio 1.2, 2.5.3). */
uint8_t virtio_config_generation(struct virtio_device *dev);

/*
 * Whether the transport allows accesses to guest memory; at first it does not.
 * Without them no queue is looked at, whatever the driver notifies; with them
 * all are, for what was added meanwhile.  Status and queues stay as they are.
 * Loop thread.
 */
void virtio_device_set_master(struct virtio_device *dev, bool master);

/* As reset() in struct device_ops. */
void virtio_device_reset(struct virtio_device *dev);
void virtio_device_quiesce(struct virtio_device *dev);
void virtio_device_resume(struct virtio_device *dev);
/* These two on the loop thread. */
void virtio_device_save(struct virtio_device *dev, struct snap_writer *w);
int virtio_device_load(struct virtio_device *dev, struct snap_reader *r);

#endif
