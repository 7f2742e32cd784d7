// SPDX-License-Identifier: BSD-2-Clause
/*
 * The registers in BAR 0: the common structure, the ISR, device config space
 * and the notify registers.  vCPU threads, no lock held at entry.
 */
#include <linux/virtio_pci.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/virtio/pci_private.h"

/* The registers of the selected queue, as the guest reads them. */
static void queue_image(struct virtio_pci *p, const struct virtio_pci_state *s,
			uint8_t *image)
{
	unsigned int q = s->queue_select;
	bool enabled;
	struct virtq_layout l = virtio_queue_layout(&p->device, q, &enabled);

	if (q >= p->device.config.queue_count) {
		/* Size 0: the queue does not exist (4.1.4.3.1). */
		put_le16(image + VIRTIO_PCI_COMMON_Q_MSIX,
			 VIRTIO_MSI_NO_VECTOR);
		return;
	}
	put_le16(image + VIRTIO_PCI_COMMON_Q_SIZE, l.size);
	put_le16(image + VIRTIO_PCI_COMMON_Q_MSIX, s->queue_vectors[q]);
	put_le16(image + VIRTIO_PCI_COMMON_Q_ENABLE, enabled);
	put_le16(image + VIRTIO_PCI_COMMON_Q_NOFF, (uint16_t)q);
	put_le64(image + VIRTIO_PCI_COMMON_Q_DESCLO, l.desc);
	put_le64(image + VIRTIO_PCI_COMMON_Q_AVAILLO, l.avail);
	put_le64(image + VIRTIO_PCI_COMMON_Q_USEDLO, l.used);
}

/* The common structure as the guest reads it (virtio 1.2, 4.1.4.3). */
static void common_image(struct virtio_pci *p, uint8_t *image)
{
	struct virtio_pci_state s = virtio_pci_state_get(p);
	struct virtio_device *dev = &p->device;

	memset(image, 0, COMMON_BYTES);
	put_le32(image + VIRTIO_PCI_COMMON_DFSELECT, s.offered_select);
	put_le32(image + VIRTIO_PCI_COMMON_DF,
		 virtio_features_offered(dev, s.offered_select));
	put_le32(image + VIRTIO_PCI_COMMON_GFSELECT, s.accepted_select);
	put_le32(image + VIRTIO_PCI_COMMON_GF,
		 virtio_features_accepted(dev, s.accepted_select));
	put_le16(image + VIRTIO_PCI_COMMON_MSIX, s.config_vector);
	put_le16(image + VIRTIO_PCI_COMMON_NUMQ, dev->config.queue_count);
	image[VIRTIO_PCI_COMMON_STATUS] = virtio_status(dev);
	image[VIRTIO_PCI_COMMON_CFGGENERATION] = virtio_config_generation(dev);
	put_le16(image + VIRTIO_PCI_COMMON_Q_SELECT, s.queue_select);
	queue_image(p, &s, image);
}

static void set_offered_select(struct virtio_pci *p, uint32_t value)
{
	pthread_mutex_lock(&p->lock);
	p->state.offered_select = value;
	pthread_mutex_unlock(&p->lock);
}

static void set_accepted_select(struct virtio_pci *p, uint32_t value)
{
	pthread_mutex_lock(&p->lock);
	p->state.accepted_select = value;
	pthread_mutex_unlock(&p->lock);
}

static void set_accepted(struct virtio_pci *p, uint32_t value)
{
	virtio_features_write(&p->device,
			      virtio_pci_state_get(p).accepted_select, value);
}

static void set_config_vector(struct virtio_pci *p, uint32_t value)
{
	pthread_mutex_lock(&p->lock);
	p->state.config_vector = virtio_pci_vector(p, value);
	pthread_mutex_unlock(&p->lock);
}

static void set_queue_vector(struct virtio_pci *p, uint32_t value)
{
	pthread_mutex_lock(&p->lock);
	if (p->state.queue_select < p->device.config.queue_count)
		p->state.queue_vectors[p->state.queue_select] =
			virtio_pci_vector(p, value);
	pthread_mutex_unlock(&p->lock);
}

static void set_queue_select(struct virtio_pci *p, uint32_t value)
{
	pthread_mutex_lock(&p->lock);
	p->state.queue_select = (uint16_t)value;
	pthread_mutex_unlock(&p->lock);
}

static void set_status(struct virtio_pci *p, uint32_t value)
{
	virtio_status_write(&p->device, (uint8_t)value);
	if (value == 0)
		virtio_pci_state_reset(p);
}

static void set_queue_enable(struct virtio_pci *p, uint32_t value)
{
	/* A driver cannot disable a queue (virtio 1.2, 4.1.4.3.2). */
	if (value == 1)
		virtio_queue_enable(&p->device,
				    virtio_pci_state_get(p).queue_select);
}

static void set_queue_size(struct virtio_pci *p, uint32_t value)
{
	unsigned int q = virtio_pci_state_get(p).queue_select;
	bool enabled;
	struct virtq_layout l = virtio_queue_layout(&p->device, q, &enabled);

	l.size = (uint16_t)value;
	virtio_queue_set_layout(&p->device, q, &l);
}

/* Replaces half @shift of the address at @offset in struct virtq_layout. */
static void set_address(struct virtio_pci *p, size_t offset, unsigned int shift,
			uint32_t value)
{
	unsigned int q = virtio_pci_state_get(p).queue_select;
	bool enabled;
	struct virtq_layout l = virtio_queue_layout(&p->device, q, &enabled);
	gpa_t gpa;

	memcpy(&gpa, (char *)&l + offset, sizeof(gpa));
	gpa &= ~((uint64_t)UINT32_MAX << shift);
	gpa |= (uint64_t)value << shift;
	memcpy((char *)&l + offset, &gpa, sizeof(gpa));
	virtio_queue_set_layout(&p->device, q, &l);
}

/*
 * The registers that can be written, each in its own size only (virtio 1.2,
 * 4.1.3.1).  Those without a setter are the halves of an address.
 */
static const struct common_register {
	uint8_t at, size;
	void (*set)(struct virtio_pci *p, uint32_t value);
	uint8_t address; /* offset in struct virtq_layout */
	uint8_t shift;
} common_registers[] = {
	{ VIRTIO_PCI_COMMON_DFSELECT, 4, set_offered_select, 0, 0 },
	{ VIRTIO_PCI_COMMON_GFSELECT, 4, set_accepted_select, 0, 0 },
	{ VIRTIO_PCI_COMMON_GF, 4, set_accepted, 0, 0 },
	{ VIRTIO_PCI_COMMON_MSIX, 2, set_config_vector, 0, 0 },
	{ VIRTIO_PCI_COMMON_STATUS, 1, set_status, 0, 0 },
	{ VIRTIO_PCI_COMMON_Q_SELECT, 2, set_queue_select, 0, 0 },
	{ VIRTIO_PCI_COMMON_Q_SIZE, 2, set_queue_size, 0, 0 },
	{ VIRTIO_PCI_COMMON_Q_MSIX, 2, set_queue_vector, 0, 0 },
	{ VIRTIO_PCI_COMMON_Q_ENABLE, 2, set_queue_enable, 0, 0 },
#define ADDRESS(at, field)                                                  \
	{ at, 4, NULL, offsetof(struct virtq_layout, field), 0 },           \
	{                                                                   \
		(at) + 4, 4, NULL, offsetof(struct virtq_layout, field), 32 \
	}
	ADDRESS(VIRTIO_PCI_COMMON_Q_DESCLO, desc),
	ADDRESS(VIRTIO_PCI_COMMON_Q_AVAILLO, avail),
	ADDRESS(VIRTIO_PCI_COMMON_Q_USEDLO, used),
#undef ADDRESS
};

static void common_write(struct virtio_pci *p, uint64_t offset,
			 unsigned int size, uint64_t value)
{
	/* An address may also be written whole. */
	if (size == 8) {
		common_write(p, offset, 4, (uint32_t)value);
		common_write(p, offset + 4, 4, value >> 32);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(common_registers); i++) {
		const struct common_register *reg = &common_registers[i];

		if (reg->at != offset || reg->size != size)
			continue;
		if (reg->set)
			reg->set(p, (uint32_t)value);
		else
			set_address(p, reg->address, reg->shift,
				    (uint32_t)value);
	}
}

/* Reads 1 to 8 bytes of the common structure; beyond it are zeros. */
static uint64_t common_read(struct virtio_pci *p, uint64_t offset,
			    unsigned int size)
{
	uint8_t image[COMMON_BYTES + 8] = { 0 };

	if (offset >= COMMON_BYTES)
		return 0;
	common_image(p, image);
	return get_le(image + offset, size);
}

uint64_t virtio_pci_read(void *ctx, unsigned int bar, uint64_t offset,
			 unsigned int size)
{
	struct virtio_pci *p = ctx;
	uint64_t at = offset % PART_BYTES;

	(void)bar;
	switch (offset - at) {
	case COMMON_AT:
		return common_read(p, at, size);
	case ISR_AT:
		return at == 0 ? virtio_pci_isr_read(p) : 0;
	case CONFIG_AT:
		return virtio_config_read(&p->device, at, size);
	default:
		return 0; /* notify registers are write-only */
	}
}

void virtio_pci_write(void *ctx, unsigned int bar, uint64_t offset,
		      unsigned int size, uint64_t value)
{
	struct virtio_pci *p = ctx;
	uint64_t at = offset % PART_BYTES;

	(void)bar;
	if (offset - at == COMMON_AT)
		common_write(p, at, size, value);
	else if (offset - at == NOTIFY_AT && at % NOTIFY_STEP == 0)
		virtio_queue_kick(&p->device, (unsigned int)(at / NOTIFY_STEP));
}
