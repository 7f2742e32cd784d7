// SPDX-License-Identifier: BSD-2-Clause
/*
 * The state of the PCI transport: selectors, vectors, the ISR; and interrupts.
 * p->lock guards it, and is held while an interrupt is raised, so that the ISR
 * and INTA agree.
 */
#include <linux/virtio_pci.h>
#include <string.h>

#include "vmm/snap/section.h"
#include "vmm/virtio/pci_private.h"

/* virtio 1.2, 4.1.4.5 */
#define ISR_QUEUE  1
#define ISR_CONFIG 2

void virtio_pci_state_reset(struct virtio_pci *p)
{
	pthread_mutex_lock(&p->lock);
	memset(&p->state, 0, sizeof(p->state));
	p->state.config_vector = VIRTIO_MSI_NO_VECTOR;
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		p->state.queue_vectors[i] = VIRTIO_MSI_NO_VECTOR;
	pci_intx_set(&p->function, false);
	pthread_mutex_unlock(&p->lock);
}

void virtio_pci_interrupt(void *transport, uint16_t queue)
{
	struct virtio_pci *p = transport;
	bool config = queue == VIRTIO_CONFIG_CHANGE;
	uint16_t vector;

	pthread_mutex_lock(&p->lock);
	vector =
		config ? p->state.config_vector : p->state.queue_vectors[queue];
	if (!pci_msix_raise(&p->function, vector)) {
		p->state.isr |= config ? ISR_CONFIG : ISR_QUEUE;
		pci_intx_set(&p->function, true);
	}
	pthread_mutex_unlock(&p->lock);
}

uint8_t virtio_pci_isr_read(struct virtio_pci *p)
{
	uint8_t isr;

	pthread_mutex_lock(&p->lock);
	isr = p->state.isr;
	p->state.isr = 0;
	pci_intx_set(&p->function, false);
	pthread_mutex_unlock(&p->lock);
	return isr;
}

struct virtio_pci_state virtio_pci_state_get(struct virtio_pci *p)
{
	struct virtio_pci_state state;

	pthread_mutex_lock(&p->lock);
	state = p->state;
	pthread_mutex_unlock(&p->lock);
	return state;
}

uint16_t virtio_pci_vector(const struct virtio_pci *p, uint32_t value)
{
	return value < p->function.msix.count ? (uint16_t)value :
						VIRTIO_MSI_NO_VECTOR;
}

void virtio_pci_state_save(struct virtio_pci *p, struct snap_writer *w)
{
	struct virtio_pci_state s = virtio_pci_state_get(p);

	snap_put_u32(w, s.offered_select);
	snap_put_u32(w, s.accepted_select);
	snap_put_u16(w, s.queue_select);
	snap_put_u16(w, s.config_vector);
	for (unsigned int i = 0; i < p->device.config.queue_count; i++)
		snap_put_u16(w, s.queue_vectors[i]);
	snap_put_u8(w, s.isr);
}

void virtio_pci_state_load(struct virtio_pci *p, struct snap_reader *r)
{
	struct virtio_pci_state *s = &p->state;

	pthread_mutex_lock(&p->lock);
	s->offered_select = snap_get_u32(r);
	s->accepted_select = snap_get_u32(r);
	s->queue_select = snap_get_u16(r);
	s->config_vector = virtio_pci_vector(p, snap_get_u16(r));
	for (unsigned int i = 0; i < p->device.config.queue_count; i++)
		s->queue_vectors[i] = virtio_pci_vector(p, snap_get_u16(r));
	s->isr = snap_get_u8(r) & (ISR_QUEUE | ISR_CONFIG);
	pci_intx_set(&p->function, s->isr != 0);
	pthread_mutex_unlock(&p->lock);
}
