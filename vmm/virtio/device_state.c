// SPDX-License-Identifier: BSD-2-Clause
/*
 * A virtio device in a snapshot: status, features, queues, and the part of the
 * device itself.  Loop thread, device quiesced.
 */
#include <errno.h>
#include <linux/virtio_config.h>

#include "vmm/snap/section.h"
#include "vmm/virtio/private.h"

void virtio_device_save(struct virtio_device *dev, struct snap_writer *w)
{
	const struct virtio_state *s = &dev->state;

	snap_put_u8(w, s->status);
	snap_put_u64(w, s->features);
	snap_put_u16(w, dev->config.queue_count);
	for (unsigned int i = 0; i < dev->config.queue_count; i++) {
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

/* The mirror of virtio_device_save(); values are not checked. */
static void state_read(struct virtio_device *dev, struct snap_reader *r)
{
	struct virtio_state *s = &dev->state;

	s->status = snap_get_u8(r);
	s->features = snap_get_u64(r);
	if (snap_get_u16(r) != dev->config.queue_count)
		snap_reader_fail(r);
	for (unsigned int i = 0; i < dev->config.queue_count; i++) {
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
 * Whether status and features are consistent.  Queue sizes and addresses are
 * checked when the rings are mapped, as those of a driver are.
 */
static bool state_good(const struct virtio_device *dev)
{
	uint8_t status = dev->state.status;
	bool agreed = status & VIRTIO_CONFIG_S_FEATURES_OK;

	if (status & ~(VIRTIO_STATUS_DRIVER | VIRTIO_CONFIG_S_NEEDS_RESET))
		return false;
	if (agreed && !virtio_features_good(dev))
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
