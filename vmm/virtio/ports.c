// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio console with VIRTIO_CONSOLE_F_MULTIPORT (virtio 1.2, 5.3): named byte
 * streams between the guest and descriptors of the host.
 *
 * Loop thread.
 */
#include <errno.h>

#include "vmm/base/log.h"
#include "vmm/virtio/virtio.h"

int virtio_ports_create(struct device *device, const struct virtio_host *host,
			const char *name, const struct virtio_ports *ports)
{
	(void)device;
	(void)host;
	(void)ports;
	return log_fail(ENOTSUP, "%s: not supported", name);
}
