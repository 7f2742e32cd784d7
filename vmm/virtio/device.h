/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio device apart from its transport, as blk.c, console.c and rng.c see
 * it.  Calls go one way:
 *
 *	pci.c, pci_*.c	the transport; calls transport.h
 *	device_state.c	save, load
 *	registers.c	status, features, queue layout, config space
 *	device.c	init, start, reset, quiesce, resume
 *	serve.c		queues: kick, pop, complete, interrupt
 *	blk.c ...	the device: struct virtio_ops, called by serve.c, device.c
 *			and device_state.c
 *	queue.c, iov.c	rings; the buffers of a chain
 *
 * Threads.  The registers of a device are guarded by its lock, which is never
 * held while guest memory is touched.  The queues' runtime and the device
 * itself belong to the loop thread; a register write that concerns them
 * (enable, reset, DRIVER_OK) goes there by loop_call() and returns when it is
 * done.  A device needs a lock of its own only for threads that it has itself.
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

#define VIRTIO_QUEUES_MAX 18
#define VIRTIO_CONFIG_MAX 256 /* bytes of device config space */

/* A queue number for interrupt(): the device's configuration changed. */
#define VIRTIO_CONFIG_CHANGE UINT16_MAX

/* Why virtio_queue_serve() stopped. */
enum virtio_served {
	VIRTIO_SERVED_EMPTY, /* no chain left; the driver kicks for the next */
	VIRTIO_SERVED_WAIT, /* room() or handle() refused; kicks are off */
	VIRTIO_SERVED_BUDGET, /* a ring's size was served; continues by itself */
	VIRTIO_SERVED_STOPPED, /* not running, quiesced, or not bus master */
};

/*
 * One kind of device.  @device is the device's own struct.  All but destroy() run
 * on the loop thread, with no lock held.  Only handle() and destroy() are required.
 *
 * A chain is popped into room(), given to handle(), and completed with
 * virtio_queue_complete(): within handle(), or later from the event loop, in
 * any order.  A device that completes later
 *	- owns room for each chain that it holds, and returns it by room();
 *	- calls virtio_queue_serve() after a batch of completions, which
 *	  interrupts the driver and pops the chains that waited for room;
 *	- has drain().
 * A device with receive buffers holds them the same way, or refuses a buffer in
 * handle() while the host has no data, and calls virtio_queue_serve() when data
 * arrives.
 */
struct virtio_ops {
	const char *kind; /* "virtio-blk" */
	uint16_t type; /* device id, virtio 1.2, 5 */
	uint32_t class_code; /* PCI class code */
	uint16_t queue_size; /* maximum entries of each queue */
	/*
	 * The struct to pop the next chain of @queue into.  The device owns it;
	 * it is in use once handle() returned true for it.  NULL: no room now.
	 * Without room() one struct is used for each chain, valid during
	 * handle().
	 */
	struct virtq_chain *(*room)(void *device, unsigned int queue);
	/*
	 * Takes @chain: completed, or held.  False: the device cannot take it
	 * now or broke; the chain returns to the avail ring.
	 */
	bool (*handle)(void *device, unsigned int queue,
		       struct virtq_chain *chain);
	/*
	 * A batch of handle() is over: starts what these have collected.  What is
	 * completed here is signalled with the batch.
	 */
	void (*handled)(void *device, unsigned int queue);
	/* virtio_queue_serve() stopped because of @why. */
	void (*served)(void *device, unsigned int queue,
		       enum virtio_served why);
	/*
	 * Ends what is in flight of @queue.  Completes each chain held, except
	 * the N popped last, and returns N: these go back to the avail ring
	 * (receive buffers without data).  Only a device that completes in
	 * order may return more than 0, because the driver reuses the avail
	 * ring's entries in order.  Called after quiesce, before reset, and
	 * before bus mastering ends.
	 */
	unsigned int (*drain)(void *device, unsigned int queue);
	/* The driver set DRIVER_OK; the queues are served next. */
	void (*start)(void *device);
	/* Power-on state; drain() was called, no chain is held. */
	void (*reset)(void *device);
	/*
	 * Stops watching the host until resume, after which each queue is
	 * served.  -errno, logged, if requests do not end until @deadline_ns;
	 * the device continues then as before.
	 */
	int (*quiesce)(void *device, uint64_t deadline_ns);
	void (*resume)(void *device);
	/*
	 * The device's own state, beyond status, features and queues.  load
	 * validates all input and marks @r as failed, or returns -errno, which
	 * it logs.  A save that fails logs it and sets @w->error.
	 */
	void (*save)(void *device, struct snap_writer *w);
	int (*load)(void *device, struct snap_reader *r);
	/* Frees the device.  Main thread; the loop is stopped. */
	void (*destroy)(void *device);
};

/*
 * Constant from creation, except the contents of space, which
 * virtio_config_put() changes under the device's lock.
 */
struct virtio_config {
	uint16_t queue_count;
	uint64_t features; /* of the device; the ring's are added */
	uint8_t space[VIRTIO_CONFIG_MAX]; /* device config space */
	unsigned int space_bytes;
};

/* Guest-visible state that does not depend on the transport; saved. */
struct virtio_state {
	uint8_t status;
	uint64_t features; /* accepted by the driver */
	struct virtq_layout layout[VIRTIO_QUEUES_MAX];
	bool enabled[VIRTIO_QUEUES_MAX];
};

/* A queue's runtime; the loop thread. */
struct virtio_queue {
	struct virtio_device *device;
	struct virtq ring;
	int kick_fd; /* eventfd: the driver's notification; -1: none */
	struct loop_source *source;
	bool pushed; /* chains were completed since the last interrupt */
};

struct virtio_device {
	const struct virtio_ops *ops;
	void *impl; /* the device's own struct; owned, freed by destroy */
	char name[32];
	struct virtio_host host;
	struct virtio_config config;

	pthread_mutex_t lock; /* guards state and the config space */
	struct virtio_state state;
	uint8_t config_generation; /* counts changes of config.space */
	bool config_awaited; /* see virtio_config_await_read() */
	unsigned int config_reader; /* the queue that is kicked */

	/* Loop thread. */
	struct virtio_queue queues[VIRTIO_QUEUES_MAX];
	bool running; /* DRIVER_OK, not broken */
	bool quiesced;
	bool master; /* the transport may access guest memory */
	bool loaded; /* from a snapshot, and not resumed since */
	bool config_changed; /* while quiesced; resume signals it */
	struct virtq_chain chain; /* for devices without room() */
	uint64_t errors; /* calls of virtio_device_break() */
	struct log_budget log;

	/* The transport's: raises the interrupt of a queue or of the config. */
	void (*interrupt)(void *transport, uint16_t queue);
	void *transport;
};

/* For devices: loop thread, no lock held. */

/* Whether the driver accepted feature bit @bit. */
bool virtio_has(struct virtio_device *dev, unsigned int bit);

/*
 * Changes @len bytes of the device config space; virtio_config_signal() notifies
 * a running driver of the change.
 */
void virtio_config_put(struct virtio_device *dev, unsigned int offset,
		       const void *bytes, unsigned int len);
void virtio_config_signal(struct virtio_device *dev);

/*
 * Has queue @queue served, as by a kick, once the driver has read the device config
 * space; virtio_config_was_read() says whether it has.
 */
void virtio_config_await_read(struct virtio_device *dev, unsigned int queue);
bool virtio_config_was_read(struct virtio_device *dev);

/*
 * Serves a queue: pops chains and calls handle() until one of enum
 * virtio_served, then interrupts the driver once for all chains completed since
 * the last interrupt.  At most a ring's size of chains at a time, so that a
 * driver that never stops adding does not starve other devices.  Not from
 * within handle(), handled(), served() or drain().
 */
void virtio_queue_serve(struct virtio_device *dev, unsigned int queue);

/*
 * Completes the chain with head @head, with @written bytes written to it.  The interrupt follows
 * when the queue is served; after drain() as well.  Does nothing if the device
 * is broken.
 */
void virtio_queue_complete(struct virtio_device *dev, unsigned int queue,
			   uint16_t head, uint32_t written);

/* Has the loop serve a queue as if the driver had kicked it.  Any thread. */
void virtio_queue_kick(struct virtio_device *dev, unsigned int queue);

/*
 * The driver violated the specification: marks the device NEEDS_RESET (virtio
 * 1.2, 2.1.2), notifies the driver, counts, and logs within the budget.
 */
void virtio_device_break(struct virtio_device *dev, const char *why);

#endif
