/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by pci.c, pci_registers.c and pci_state.c; calls go in this order.
 */
#ifndef VMM_VIRTIO_PCI_PRIVATE_H
#define VMM_VIRTIO_PCI_PRIVATE_H

#include <linux/virtio_pci.h>

#include "vmm/pci/function.h"
#include "vmm/virtio/transport.h"

enum { BAR_REGISTERS = 0, BAR_MSIX = 1 };

/* BAR 0, in pages. */
#define COMMON_AT   0x0000
#define ISR_AT	    0x1000
#define CONFIG_AT   0x2000
#define NOTIFY_AT   0x3000
#define PART_BYTES  0x1000
#define BAR_BYTES   0x4000
#define NOTIFY_STEP 4 /* bytes between the queues' notify registers */

/* The common structure ends here: no VIRTIO_F_NOTIF_CONFIG_DATA or RING_RESET. */
#define COMMON_BYTES VIRTIO_PCI_COMMON_Q_NDATA

/* The transport's own state; saved. */
struct virtio_pci_state {
	uint32_t offered_select, accepted_select;
	uint16_t queue_select;
	uint16_t config_vector;
	uint16_t queue_vectors[VIRTIO_QUEUES_MAX];
	uint8_t isr;
};

struct virtio_pci {
	struct pci_function function;
	struct virtio_device device;
	unsigned int window; /* offset of the PCI_CFG capability */
	uint32_t notify_bytes; /* of an ioeventfd; 0: any size */
	bool notify_bound[VIRTIO_QUEUES_MAX]; /* the PCI host's lock */
	pthread_mutex_t lock; /* guards state */
	struct virtio_pci_state state;
};

/* pci_registers.c: accesses of BAR 0, as in struct pci_function_ops. */
uint64_t virtio_pci_read(void *ctx, unsigned int bar, uint64_t offset,
			 unsigned int size);
void virtio_pci_write(void *ctx, unsigned int bar, uint64_t offset,
		      unsigned int size, uint64_t value);

/* pci_state.c; each takes the lock, except virtio_pci_vector(). */

/* Sets the power-on state, with INTA low. */
void virtio_pci_state_reset(struct virtio_pci *p);

/* A consistent copy of the state. */
struct virtio_pci_state virtio_pci_state_get(struct virtio_pci *p);

/* As in struct virtio_device: MSI-X, or the ISR and INTA. */
void virtio_pci_interrupt(void *transport, uint16_t queue);

/* Reads and clears the ISR, which lowers INTA (virtio 1.2, 4.1.4.5). */
uint8_t virtio_pci_isr_read(struct virtio_pci *p);

/*
 * @value, or VIRTIO_MSI_NO_VECTOR if the function has no such vector (virtio
 * 1.2, 4.1.5.1.2).
 */
uint16_t virtio_pci_vector(const struct virtio_pci *p, uint32_t value);

/* The transport's part of the section; load marks @r as failed. */
void virtio_pci_state_save(struct virtio_pci *p, struct snap_writer *w);
void virtio_pci_state_load(struct virtio_pci *p, struct snap_reader *r);

#endif
