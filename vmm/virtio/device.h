/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio device apart from its transport: status, features, queues.
 *
 * Three layers, each with one direction of calls:
 *
 *	pci.c		registers; calls the functions below
 *	device.c	this; calls the device's struct virtio_ops
 *	blk.c ...	the device; calls the functions at the end of this file
 *
 * Threads.  The registers of a device (status, features, where queues lie) are
 * guarded by its lock, which is never held while guest memory is touched.  The
 * queues' runtime and all of the device belong to the loop thread; a register
 * write that concerns them (enable, reset, DRIVER_OK) goes there by loop_call()
 * and returns when it is done.  So a device needs no lock of its own.
 */
#ifndef VMM_VIRTIO_DEVICE_H
#define VMM_VIRTIO_DEVICE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/log.h"
#include "vmm/virtio/queue.h"
#include "vmm/virtio/virtio.h"

struct loop_source;
struct snap_reader;
struct snap_writer;
struct virtio_device;

#define VIRTIO_QUEUES_MAX 8
#define VIRTIO_CONFIG_MAX 256 /* bytes of device config space */

/* In place of a queue: the change of a device's configuration. */
#define VIRTIO_CONFIG_CHANGE UINT16_MAX

/*
 * One kind of device.  @device is the device's own struct.  All on the loop
 * thread with no lock held; those that may be NULL say so.
 */
struct virtio_ops {
	const char *kind; /* "virtio-blk" */
	uint16_t type; /* device id, virtio 1.2, 5 */
	uint32_t class_code; /* what PCI shows */
	uint16_t queue_count;
	uint16_t queue_size; /* entries at most, of each queue */
	/* The driver added buffers to a queue, or the device was resumed. */
	void (*notify)(void *device, unsigned int queue);
	/* The driver set DRIVER_OK; before the first notify.  May be NULL. */
	void (*start)(void *device);
	/* Back to power-on; queues are gone.  May be NULL. */
	void (*reset)(void *device);
	/*
	 * Leaves nothing in flight and stops watching the host, until resume,
	 * which is followed by notify of every queue.  May be NULL.
	 */
	void (*quiesce)(void *device);
	void (*resume)(void *device);
	/*
	 * The device's own state, beyond status, features and queues.  load
	 * trusts nothing and marks @r as failed; on -errno it has logged.  May
	 * be NULL.
	 */
	void (*save)(void *device, struct snap_writer *w);
	int (*load)(void *device, struct snap_reader *r);
	/* Frees it; the loop is stopped. */
	void (*destroy)(void *device);
};

/*
 * What one device is.  Constant from its creation, but for the contents of the
 * space, which virtio_config_put() changes under the device's lock.
 */
struct virtio_config {
	uint64_t features; /* of the device; the ring's are added */
	uint8_t space[VIRTIO_CONFIG_MAX]; /* device config space */
	unsigned int space_bytes;
};

/* Guest-visible state, of which nothing depends on the transport; saved. */
struct virtio_state {
	uint8_t status;
	uint64_t features; /* as the driver accepted them */
	struct virtq_layout layout[VIRTIO_QUEUES_MAX];
	bool enabled[VIRTIO_QUEUES_MAX];
};

/* A queue's runtime; the loop thread. */
struct virtio_queue {
	struct virtio_device *device;
	struct virtq ring;
	int kick_fd; /* eventfd: the driver's notification; -1: none */
	struct loop_source *source;
};

struct virtio_device {
	const struct virtio_ops *ops;
	void *impl; /* the device's own struct; owned, freed by destroy */
	char name[32];
	struct virtio_host host;
	struct virtio_config config;

	pthread_mutex_t lock; /* guards state, and config.space */
	struct virtio_state state;
	uint8_t config_generation; /* counts changes of config.space */

	/* Loop thread. */
	struct virtio_queue queues[VIRTIO_QUEUES_MAX];
	bool running; /* DRIVER_OK, not broken */
	bool quiesced;
	bool master; /* the transport may access guest memory */
	bool loaded; /* from a snapshot, and not resumed since */
	struct virtq_chain chain; /* of virtio_queue_run() */
	uint64_t errors; /* how often the driver broke the device */
	struct log_budget log;

	/* The transport's: raises the interrupt of a queue or of the config. */
	void (*interrupt)(void *transport, uint16_t queue);
	void *transport;
};

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

/* The driver notifies a queue; any thread. */
void virtio_queue_kick(struct virtio_device *dev, unsigned int queue);

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

/* As in struct device_ops. */
void virtio_device_reset(struct virtio_device *dev);
void virtio_device_quiesce(struct virtio_device *dev);
void virtio_device_resume(struct virtio_device *dev);
/* These two on the loop thread. */
void virtio_device_save(struct virtio_device *dev, struct snap_writer *w);
int virtio_device_load(struct virtio_device *dev, struct snap_reader *r);

/* For devices: loop thread, no lock held. */

/* Whether the driver accepted feature bit @bit. */
bool virtio_has(struct virtio_device *dev, unsigned int bit);

/*
 * Changes @len bytes of the device config space; virtio_config_signal() tells a
 * driver that is up to read it again.
 */
void virtio_config_put(struct virtio_device *dev, unsigned int offset,
		       const void *bytes, unsigned int len);
void virtio_config_signal(struct virtio_device *dev);

/* Whether queue @queue may be popped from and pushed to now. */
bool virtio_queue_ready(const struct virtio_device *dev, unsigned int queue);

/*
 * Takes the next chain of a queue: true, or false when there is none or when it
 * was bad, in which case the device is broken now.
 */
bool virtio_queue_pop(struct virtio_device *dev, unsigned int queue,
		      struct virtq_chain *chain);

/* Interrupts the driver for what was pushed, when it wants to hear of it. */
void virtio_queue_signal(struct virtio_device *dev, unsigned int queue);

/*
 * Hands each waiting chain to @handle, which pushes it, and signals once.  No
 * more than a queue of chains at a time: a driver that never stops adding gets
 * its next turn after the other devices.
 */
void virtio_queue_run(struct virtio_device *dev, unsigned int queue,
		      void (*handle)(void *device, struct virtq *ring,
				     struct virtq_chain *chain));

/*
 * The driver broke the rules: marks the device NEEDS_RESET (virtio 1.2, 2.1.2),
 * tells the driver, counts, and logs within the budget.
 */
void virtio_device_break(struct virtio_device *dev, const char *why);

#endif
