/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Creation of virtio devices on the PCI bus.  "virtio 1.2" in this directory is
 * the OASIS specification of that version.
 */
#ifndef VMM_VIRTIO_VIRTIO_H
#define VMM_VIRTIO_VIRTIO_H

#include <stdbool.h>

#include "vmm/bus/device.h"
#include "vmm/fs/fs.h"
#include "vmm/io/net.h"

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

#define VIRTIO_BLK_QUEUES_MAX 4

#define VIRTIO_FS_TAG_BYTES 36 /* virtio 1.2, 5.11.4 */

/* A host directory that the guest may mount; see virtio_fs_create(). */
struct virtio_fs_share {
	struct fs_config fs;
	char tag[VIRTIO_FS_TAG_BYTES + 1]; /* not empty */
	bool relocated; /* see fs_restore() */
};

/* A network of the guest; see virtio_net_create(). */
struct virtio_net_link {
	struct net *net; /* the host side; not owned */
	uint8_t mac[NET_MAC_BYTES];
	uint16_t mtu; /* NET_MTU_MIN to NET_MTU_MAX */
};

#define VIRTIO_PORTS_MAX       8
#define VIRTIO_PORT_NAME_BYTES 32 /* the longest name */

/*
 * A byte stream between the host and /dev/virtio-ports/NAME of the guest.  The
 * descriptors are duplicated, so the caller may close its own.
 */
struct virtio_port {
	const char *name; /* 1 to VIRTIO_PORT_NAME_BYTES, unique */
	int in_fd; /* what the guest reads; -1: nothing */
	int out_fd; /* where the guest's bytes go; -1: they are dropped */
};

struct virtio_ports {
	struct virtio_port list[VIRTIO_PORTS_MAX];
	unsigned int count; /* 1 or more */
};

/*
 * Each fills *@device (operations, state, @name) and attaches the function to
 * the next free PCI slot.  @host is copied.  The disk and the terminal remain
 * the caller's and must outlive the device.  A disk has 1 to VIRTIO_BLK_QUEUES_MAX
 * queues.  0, or -errno, which is logged.
 */
int virtio_blk_create(struct device *device, const struct virtio_host *host,
		      const char *name, struct disk *disk, unsigned int queues);
int virtio_console_create(struct device *device, const struct virtio_host *host,
			  const char *name, struct terminal *terminal);
int virtio_rng_create(struct device *device, const struct virtio_host *host,
		      const char *name);
/* Opens the directory; @share is copied, and its tag is that of the server. */
int virtio_fs_create(struct device *device, const struct virtio_host *host,
		     const char *name, const struct virtio_fs_share *share);
/* @link is copied, except the host side, which is the loop thread's from now on. */
int virtio_net_create(struct device *device, const struct virtio_host *host,
		      const char *name, const struct virtio_net_link *link);
/*
 * A device whose ports have the names and descriptors of @ports, which need not
 * outlive the call.  The host's end of a port is open to the guest while it has a
 * descriptor, until its input ends or its output has no reader; with neither
 * descriptor it is closed.  Input is read only while the guest has the port open,
 * and only as far as the guest has buffers.  After a load the ports are those of
 * the snapshot, with the descriptors that @ports gives for their names.
 *
 * The driver learns the state of a port before its name, so a port that the guest
 * has found by its name is connected, if it has a descriptor.
 */
int virtio_ports_create(struct device *device, const struct virtio_host *host,
			const char *name, const struct virtio_ports *ports);
/*
 * Whether all that the guest had sent to the ports of a device of
 * virtio_ports_create() when this is called is written, or dropped because it has
 * no reader; false also if the loop thread is busy.  Any thread; does not wait
 * long.
 */
bool virtio_ports_drained(const struct device *device);
/* The figures of a device of virtio_fs_create().  Any thread. */
void virtio_fs_usage(const struct device *device, struct fs_usage *usage);

#endif
