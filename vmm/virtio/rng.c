// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio entropy (virtio 1.2, 5.4): buffers filled from the host's generator.
 *
 * Loop thread.  It has no state and no configuration of its own.
 */
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <sys/random.h>

#include "vmm/base/bytes.h"
#include "vmm/virtio/pci.h"

/*
 * The most that one request is given; a driver copes with less than it asked
 * for, and a guest cannot keep the loop thread for long.
 */
#define RNG_REQUEST_MAX (64 * KIB)

struct rng {
	struct virtio_device *dev;
};

static bool rng_handle(void *device, unsigned int queue,
		       struct virtq_chain *chain)
{
	struct rng *rng = device;
	struct iovs *v = &chain->writable;
	uint32_t done = 0;

	while (v->count && done < RNG_REQUEST_MAX) {
		size_t want = min_u64(v->iov->iov_len, RNG_REQUEST_MAX - done);
		ssize_t got = getrandom(v->iov->iov_base, want, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		iovs_skip(v, (uint64_t)got);
		done += (uint32_t)got;
	}
	virtio_queue_complete(rng->dev, queue, chain->head, done);
	return true;
}

static void rng_destroy(void *device)
{
	free(device);
}

static const struct virtio_ops rng_ops = {
	.kind = "virtio-rng",
	.type = VIRTIO_ID_RNG,
	.class_code = 0x00ff00, /* unclassified */
	.queue_size = 64,
	.handle = rng_handle,
	.destroy = rng_destroy,
};

static const struct device_ops rng_device_ops =
	VIRTIO_PCI_DEVICE_OPS("virtio-rng");

int virtio_rng_create(struct device *device, const struct virtio_host *host,
		      const char *name)
{
	static const struct virtio_config config = { .queue_count = 1 };
	struct rng *rng = calloc(1, sizeof(*rng));
	struct virtio_pci_config pci = {
		.ops = &rng_ops,
		.device_ops = &rng_device_ops,
		.impl = rng,
		.host = host,
		.name = name,
		.config = &config,
	};

	if (!rng)
		return log_errno(ENOMEM, "%s", name);
	return virtio_pci_create(device, &pci, &rng->dev);
}
