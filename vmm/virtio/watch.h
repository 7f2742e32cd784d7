/* SPDX-License-Identifier: BSD-2-Clause */
/* A host descriptor that the event loop watches on demand.  Loop thread. */
#ifndef VMM_VIRTIO_WATCH_H
#define VMM_VIRTIO_WATCH_H

#include "vmm/bus/loop.h"

struct virtio_device;

struct watch {
	struct loop_source *source; /* NULL: not watched */
	int fd; /* not owned; -1: none */
	/* A regular file, which epoll does not support: always ready. */
	bool always_ready;
};

/* Calls @handler(@ctx) on @events; no effect if watched.  Errors are logged. */
void watch_start(struct watch *w, struct virtio_device *dev, uint32_t events,
		 loop_handler *handler, void *ctx);

/*
 * Stops watching.  The source is removed because epoll keeps reporting a hang-up
 * even with an empty event mask.
 */
void watch_stop(struct watch *w);

#endif
