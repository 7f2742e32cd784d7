/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What vm/ needs of this room: making each virtio device on the PCI bus.
 * "virtio 1.2" below and in the room is the OASIS specification of that version.
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

/* The parts of the VM that every virtio device gets. */
struct virtio_host {
	const struct memory *memory;
	struct pci_host *pci;
	struct loop *loop;
	const struct kvm_vm *kvm; /* for ioeventfd; NULL: none, for tests */
};

/*
 * Each fills *@device (operations and state; the name is @name) and puts the
 * function at the next free PCI slot.  The host handle is copied.  The disk and
 * the terminal stay the caller's and must outlive the device.  -errno, logged.
 */
int virtio_blk_create(struct device *device, const struct virtio_host *host,
		      const char *name, struct disk *disk);
int virtio_console_create(struct device *device, const struct virtio_host *host,
			  const char *name, struct terminal *terminal);
int virtio_rng_create(struct device *device, const struct virtio_host *host,
		      const char *name);

#endif
