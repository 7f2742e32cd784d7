/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PCI transport of virtio (virtio 1.2, 4.1), modern only: one BAR with the
 * registers, one with MSI-X.
 */
#ifndef VMM_VIRTIO_PCI_H
#define VMM_VIRTIO_PCI_H

#include "vmm/virtio/transport.h"

struct device;

/*
 * Creates the device @impl of kind @ops and attaches it to the PCI bus.  Sets
 * @device to @device_ops, a VIRTIO_PCI_DEVICE_OPS, with the transport as its
 * state, and *@out to the virtio device, for @impl to keep.  0, or -errno, which
 * is logged; @impl is destroyed then.
 */
struct virtio_pci_config {
	const struct virtio_ops *ops;
	const struct device_ops *device_ops;
	void *impl;
	const struct virtio_host *host;
	const char *name;
	const struct virtio_config *config;
};
int virtio_pci_create(struct device *device,
		      const struct virtio_pci_config *config,
		      struct virtio_device **out);

/* The device @impl of a struct device that virtio_pci_create() has set. */
void *virtio_pci_impl(const struct device *device);

/* The operations of struct device_ops, common to all kinds. */
void virtio_pci_reset(void *state);
int virtio_pci_quiesce(void *state, uint64_t deadline_ns);
void virtio_pci_resume(void *state);
int virtio_pci_save(void *state, struct snap_writer *w);
int virtio_pci_load(void *state, struct snap_reader *r);
void virtio_pci_destroy(void *state);

/* The record of one kind, for a static const struct device_ops. */
#define VIRTIO_PCI_DEVICE_OPS(name)                                         \
	{                                                                   \
		.kind = (name), .reset = virtio_pci_reset,                  \
		.quiesce = virtio_pci_quiesce, .resume = virtio_pci_resume, \
		.save = virtio_pci_save, .load = virtio_pci_load,           \
		.destroy = virtio_pci_destroy,                              \
	}

#endif
