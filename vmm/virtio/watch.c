// SPDX-License-Identifier: BSD-2-Clause
/* Loop thread. */
#include "vmm/virtio/watch.h"

#include <errno.h>

#include "vmm/virtio/device.h"

void watch_stop(struct watch *w)
{
	loop_remove(w->source);
	w->source = NULL;
}

void watch_start(struct watch *w, struct virtio_device *dev, uint32_t events,
		 loop_handler *handler, void *ctx)
{
	int err;

	if (w->source || w->fd < 0 || w->always_ready)
		return;
	err = loop_add(dev->host.loop, &w->source, w->fd, events, handler, ctx);
	if (err == -EPERM)
		w->always_ready = true;
	else if (err < 0) {
		log_errno(-err, "%s: watch descriptor %d", dev->name, w->fd);
		w->fd = -1;
	}
}
