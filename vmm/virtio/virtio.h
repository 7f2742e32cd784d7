/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Creation of virtio devices on the PCI bus.  "virtio 1.2" in this directory is
 * the OASIS specification of that version.
 */
#ifndef VMM_VIRTIO_VIRTIO_H
#define VMM_VIRTIO_VIRTIO_H

#include "vmm/bus/device.h"

struct disk;
struct kvm_vm;
struct loop;
struct memory;
struct pci_host;
struct terminal;

/* The parts of the VM that a virtio device uses; none is owned. */
struct virtio_host {
	const struct memory *memory;
	struct pci_host *pci;
	struct loop *loop;
	const struct kvm_vm *kvm; /* for ioeventfd; NULL: none, for tests */
};

/*
 * Each fills *@device (operations, state, @name) and attaches the function to
 * the next free PCI slot.  @host is copied.  The disk and the terminal remain
 * the caller's and must outlive the device.  0, or -errno, which is logged.
 */
int virtio_blk_create(struct device *device, const struct virtio_host *host,
		      const char *name, struct disk *disk);
int virtio_console_create(struct device *device, const struct virtio_host *host,
			  const char *name, struct terminal *terminal);
int virtio_rng_create(struct device *device, const struct virtio_host *host,
		      const char *name);

#endif
