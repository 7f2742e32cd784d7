// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio over PCI.  BAR 0 holds the four structures that the vendor
 * capabilities point to, each in a page of its own; BAR 1 is MSI-X.
 *
 * Registers are accessed by vCPU threads.  What the transport itself keeps (the
 * selectors, the vectors, the ISR) is guarded by its lock, which is held neither
 * while the device is called nor while guest memory is touched; interrupts are
 * raised under it so that the ISR and INTA agree, and the locks of the PCI
 * function are taken inside it.
 *
 * A notification is an ioeventfd, so that it costs no exit to user space, and is
 * a register write into the same eventfd where there is no KVM.
 */
#include "vmm/virtio/pci.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/bus/device.h"
#include "vmm/bus/loop.h"
#include "vmm/kvm/kvm.h"
#include "vmm/pci/function.h"
#include "vmm/snap/section.h"

/* virtio 1.2, 4.1.2.1 */
#define VENDOR_ID	    0x1af4
#define DEVICE_ID_BASE	    0x1040
#define SUBSYSTEM_ID_MODERN 0x40
#define REVISION_MODERN	    1

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

/* virtio 1.2, 4.1.4.5 */
#define ISR_QUEUE  1
#define ISR_CONFIG 2

/* What the transport keeps; saved. */
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
	unsigned int window; /* where the PCI_CFG capability lies */
	uint32_t notify_bytes; /* of an ioeventfd; 0: any size */
	bool notify_bound[VIRTIO_QUEUES_MAX]; /* the PCI host's lock */
	pthread_mutex_t lock; /* guards state */
	struct virtio_pci_state state;
};

/* Power-on, or a reset by the driver. */
static void state_reset(struct virtio_pci *p)
{
	pthread_mutex_lock(&p->lock);
	memset(&p->state, 0, sizeof(p->state));
	p->state.config_vector = VIRTIO_MSI_NO_VECTOR;
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		p->state.queue_vectors[i] = VIRTIO_MSI_NO_VECTOR;
	pci_intx_set(&p->function, false);
	pthread_mutex_unlock(&p->lock);
}

/* The device has something to say: MSI-X, or the ISR and INTA. */
static void interrupt(void *transport, uint16_t queue)
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

/* Reading the ISR clears it and lets INTA go (virtio 1.2, 4.1.4.5). */
static uint8_t isr_read(struct virtio_pci *p)
{
	uint8_t isr;

	pthread_mutex_lock(&p->lock);
	isr = p->state.isr;
	p->state.isr = 0;
	pci_intx_set(&p->function, false);
	pthread_mutex_unlock(&p->lock);
	return isr;
}

/* A copy of what the transport keeps. */
static struct virtio_pci_state state_get(struct virtio_pci *p)
{
	struct virtio_pci_state state;

	pthread_mutex_lock(&p->lock);
	state = p->state;
	pthread_mutex_unlock(&p->lock);
	return state;
}

/* The registers of the selected queue, as the guest reads them. */
static void queue_image(struct virtio_pci *p, const struct virtio_pci_state *s,
			uint8_t *image)
{
	unsigned int q = s->queue_select;
	bool enabled;
	struct virtq_layout l = virtio_queue_layout(&p->device, q, &enabled);

	if (q >= p->device.ops->queue_count) {
		/* A queue of size 0 is one that is not there (4.1.4.3.1). */
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
	struct virtio_pci_state s = state_get(p);
	struct virtio_device *dev = &p->device;

	memset(image, 0, COMMON_BYTES);
	put_le32(image + VIRTIO_PCI_COMMON_DFSELECT, s.offered_select);
	put_le32(image + VIRTIO_PCI_COMMON_DF,
		 virtio_features_offered(dev, s.offered_select));
	put_le32(image + VIRTIO_PCI_COMMON_GFSELECT, s.accepted_select);
	put_le32(image + VIRTIO_PCI_COMMON_GF,
		 virtio_features_accepted(dev, s.accepted_select));
	put_le16(image + VIRTIO_PCI_COMMON_MSIX, s.config_vector);
	put_le16(image + VIRTIO_PCI_COMMON_NUMQ, dev->ops->queue_count);
	image[VIRTIO_PCI_COMMON_STATUS] = virtio_status(dev);
	image[VIRTIO_PCI_COMMON_CFGGENERATION] = virtio_config_generation(dev);
	put_le16(image + VIRTIO_PCI_COMMON_Q_SELECT, s.queue_select);
	queue_image(p, &s, image);
}

/* Setters of the common structure. */
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
	virtio_features_write(&p->device, state_get(p).accepted_select, value);
}

/* A vector that is not there reads back as none (virtio 1.2, 4.1.5.1.2). */
static uint16_t vector_checked(const struct virtio_pci *p, uint32_t value)
{
	return value < p->function.msix.count ? (uint16_t)value :
						VIRTIO_MSI_NO_VECTOR;
}

static void set_config_vector(struct virtio_pci *p, uint32_t value)
{
	pthread_mutex_lock(&p->lock);
	p->state.config_vector = vector_checked(p, value);
	pthread_mutex_unlock(&p->lock);
}

static void set_queue_vector(struct virtio_pci *p, uint32_t value)
{
	pthread_mutex_lock(&p->lock);
	if (p->state.queue_select < p->device.ops->queue_count)
		p->state.queue_vectors[p->state.queue_select] =
			vector_checked(p, value);
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
		state_reset(p);
}

static void set_queue_enable(struct virtio_pci *p, uint32_t value)
{
	/* A driver cannot disable a queue (virtio 1.2, 4.1.4.3.2). */
	if (value == 1)
		virtio_queue_enable(&p->device, state_get(p).queue_select);
}

static void set_queue_size(struct virtio_pci *p, uint32_t value)
{
	unsigned int q = state_get(p).queue_select;
	bool enabled;
	struct virtq_layout l = virtio_queue_layout(&p->device, q, &enabled);

	l.size = (uint16_t)value;
	virtio_queue_set_layout(&p->device, q, &l);
}

/* Replaces half @shift of the address at @offset in struct virtq_layout. */
static void set_address(struct virtio_pci *p, size_t offset, unsigned int shift,
			uint32_t value)
{
	unsigned int q = state_get(p).queue_select;
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

static uint64_t registers_read(void *ctx, unsigned int bar, uint64_t offset,
			       unsigned int size)
{
	struct virtio_pci *p = ctx;
	uint64_t at = offset % PART_BYTES;

	(void)bar;
	switch (offset - at) {
	case COMMON_AT:
		return common_read(p, at, size);
	case ISR_AT:
		return at == 0 ? isr_read(p) : 0;
	case CONFIG_AT:
		return virtio_config_read(&p->device, at, size);
	default:
		return 0; /* notify registers are only written */
	}
}

static void registers_write(void *ctx, unsigned int bar, uint64_t offset,
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

/* Binds or unbinds one queue's ioeventfd at its notify register. */
static void notify_bind(struct virtio_pci *p, unsigned int queue, gpa_t bar,
			bool bind)
{
	struct kvm_ioevent ev = {
		.addr = bar + NOTIFY_AT + queue * NOTIFY_STEP,
		.size_bytes = p->notify_bytes,
		.eventfd = p->device.queues[queue].kick_fd,
	};

	if (bind)
		p->notify_bound[queue] =
			kvm_ioeventfd_bind(p->device.host.kvm, &ev) == 0;
	else if (p->notify_bound[queue])
		p->notify_bound[queue] =
			kvm_ioeventfd_unbind(p->device.host.kvm, &ev) != 0;
}

/* The BAR was moved: the ioeventfds move along. */
static void bar_moved(void *ctx, unsigned int bar, gpa_t gpa, bool decoded)
{
	struct virtio_pci *p = ctx;

	if (bar != BAR_REGISTERS || p->device.host.kvm == NULL)
		return;
	for (unsigned int i = 0; i < p->device.ops->queue_count; i++)
		notify_bind(p, i, gpa, decoded);
}

/*
 * The window of the PCI_CFG capability (virtio 1.2, 4.1.4.9): an access of its
 * data field is an access of BAR 0, for whoever cannot reach BARs.
 */
static void window_touch(struct virtio_pci *p, unsigned int reg,
			 unsigned int size, bool write)
{
	struct pci_function *f = &p->function;
	unsigned int data = p->window + sizeof(struct virtio_pci_cap);
	uint32_t bar, at, len;

	if (reg + size <= data || reg >= data + 4)
		return;
	bar = (uint32_t)pci_config_get(f, p->window + VIRTIO_PCI_CAP_BAR, 1);
	at = (uint32_t)pci_config_get(f, p->window + VIRTIO_PCI_CAP_OFFSET, 4);
	len = (uint32_t)pci_config_get(f, p->window + VIRTIO_PCI_CAP_LENGTH, 4);
	if (bar != BAR_REGISTERS || (len != 1 && len != 2 && len != 4) ||
	    at % len != 0 || !range_within(at, len, BAR_BYTES))
		return;
	if (write)
		registers_write(p, bar, at, len, pci_config_get(f, data, len));
	else
		pci_config_put(f, data, len, registers_read(p, bar, at, len));
}

/* Brings the device in line with the bit of the command register. */
static void master_on_loop(void *ctx)
{
	struct virtio_pci *p = ctx;

	virtio_device_set_master(&p->device,
				 pci_function_is_master(&p->function));
}

/*
 * Config space was touched.  When a write to the command register returns, the
 * device has ended what the bit no longer allows.
 */
static void config_touch(void *ctx, unsigned int reg, unsigned int size,
			 bool write)
{
	struct virtio_pci *p = ctx;

	if (write && reg < PCI_COMMAND + 2 && reg + size > PCI_COMMAND)
		loop_call(p->device.host.loop, master_on_loop, p);
	window_touch(p, reg, size, write);
}

static const struct pci_function_ops function_ops = {
	.bar_read = registers_read,
	.bar_write = registers_write,
	.bar_moved = bar_moved,
	.config_touch = config_touch,
};

/* Adds a vendor capability that points to a part of BAR 0 (4.1.4). */
static unsigned int add_part(struct virtio_pci *p, uint8_t type, uint32_t at,
			     uint32_t bytes, unsigned int extra_bytes)
{
	struct pci_function *f = &p->function;
	unsigned int len = sizeof(struct virtio_pci_cap) + extra_bytes;
	unsigned int cap = pci_function_capability(f, PCI_CAP_ID_VNDR, len);

	pci_config_put(f, cap + VIRTIO_PCI_CAP_LEN, 1, len);
	pci_config_put(f, cap + VIRTIO_PCI_CAP_CFG_TYPE, 1, type);
	pci_config_put(f, cap + VIRTIO_PCI_CAP_BAR, 1, BAR_REGISTERS);
	pci_config_put(f, cap + VIRTIO_PCI_CAP_OFFSET, 4, at);
	pci_config_put(f, cap + VIRTIO_PCI_CAP_LENGTH, 4, bytes);
	return cap;
}

/* The capabilities that tell the driver where everything is. */
static void add_parts(struct virtio_pci *p)
{
	struct pci_function *f = &p->function;
	unsigned int queues = p->device.ops->queue_count;
	unsigned int config = p->device.config.space_bytes;
	unsigned int cap;

	add_part(p, VIRTIO_PCI_CAP_COMMON_CFG, COMMON_AT, COMMON_BYTES, 0);
	add_part(p, VIRTIO_PCI_CAP_ISR_CFG, ISR_AT, 1, 0);
	if (config)
		add_part(p, VIRTIO_PCI_CAP_DEVICE_CFG, CONFIG_AT, config, 0);
	cap = add_part(p, VIRTIO_PCI_CAP_NOTIFY_CFG, NOTIFY_AT,
		       queues * NOTIFY_STEP, 4);
	pci_config_put(f, cap + VIRTIO_PCI_NOTIFY_CAP_MULT, 4, NOTIFY_STEP);
	p->window = add_part(p, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 4);
	pci_config_allow(f, p->window + VIRTIO_PCI_CAP_BAR, 1, 0xff);
	pci_config_allow(f, p->window + VIRTIO_PCI_CAP_OFFSET, 8, UINT64_MAX);
	pci_config_allow(f, p->window + sizeof(struct virtio_pci_cap), 4,
			 UINT32_MAX);
}

/* Describes the function and attaches it. */
static int function_create(struct virtio_pci *p)
{
	const struct virtio_ops *ops = p->device.ops;
	const struct pci_identity id = {
		.vendor = VENDOR_ID,
		.device = (uint16_t)(DEVICE_ID_BASE + ops->type),
		.subsystem_vendor = VENDOR_ID,
		.subsystem = (uint16_t)(SUBSYSTEM_ID_MODERN + ops->type),
		.class_code = ops->class_code,
		.revision = REVISION_MODERN,
	};
	int err = pci_function_init(&p->function, &id, p->device.name,
				    &function_ops, p);

	if (err == 0)
		/* One vector for the configuration, one for each queue. */
		err = pci_function_msix(&p->function, ops->queue_count + 1u,
					BAR_MSIX);
	if (err < 0)
		return log_errno(-err, "%s: PCI function", p->device.name);
	pci_function_bar(&p->function, BAR_REGISTERS, BAR_BYTES);
	add_parts(p);
	return pci_function_attach(&p->function, p->device.host.pci);
}

/* The size to bind ioeventfds with: any where KVM can, which is the fastest. */
static uint32_t notify_size(const struct kvm_vm *kvm)
{
	if (kvm && kvm_check_cap(kvm->fd, KVM_CAP_IOEVENTFD_ANY_LENGTH) > 0)
		return 0;
	return 2;
}

int virtio_pci_create(struct device *device,
		      const struct virtio_pci_config *config,
		      struct virtio_device **out)
{
	struct virtio_pci *p = calloc(1, sizeof(*p));
	int err;

	if (!p) {
		config->ops->destroy(config->impl);
		return log_errno(ENOMEM, "%s", config->name);
	}
	pthread_mutex_init(&p->lock, NULL);
	err = virtio_device_init(&p->device, config->ops, config->impl,
				 config->host, config->name, config->config);
	p->device.interrupt = interrupt;
	p->device.transport = p;
	p->notify_bytes = notify_size(config->host->kvm);
	*out = &p->device;
	if (err == 0)
		err = function_create(p);
	if (err < 0) {
		virtio_pci_destroy(p);
		return err;
	}
	state_reset(p);
	device->ops = config->device_ops;
	device->state = p;
	memcpy(device->name, p->device.name, sizeof(device->name));
	return 0;
}

void virtio_pci_reset(void *state)
{
	struct virtio_pci *p = state;

	virtio_device_reset(&p->device);
	state_reset(p);
	pci_function_reset(&p->function);
	loop_call(p->device.host.loop, master_on_loop, p);
}

int virtio_pci_quiesce(void *state)
{
	struct virtio_pci *p = state;

	virtio_device_quiesce(&p->device);
	return 0;
}

void virtio_pci_resume(void *state)
{
	struct virtio_pci *p = state;

	virtio_device_resume(&p->device);
}

/* Save and load run on the loop thread, which owns what they look at. */
struct snap_call {
	struct virtio_pci *p;
	struct snap_writer *w;
	struct snap_reader *r;
	int err;
};

static void save_on_loop(void *ctx)
{
	struct snap_call *call = ctx;
	struct virtio_pci *p = call->p;
	struct snap_writer *w = call->w;
	struct virtio_pci_state s = state_get(p);

	pci_function_save(&p->function, w);
	snap_put_u32(w, s.offered_select);
	snap_put_u32(w, s.accepted_select);
	snap_put_u16(w, s.queue_select);
	snap_put_u16(w, s.config_vector);
	for (unsigned int i = 0; i < p->device.ops->queue_count; i++)
		snap_put_u16(w, s.queue_vectors[i]);
	snap_put_u8(w, s.isr);
	virtio_device_save(&p->device, w);
	call->err = w->error;
}

int virtio_pci_save(void *state, struct snap_writer *w)
{
	struct virtio_pci *p = state;
	struct snap_call call = { .p = p, .w = w };

	loop_call(p->device.host.loop, save_on_loop, &call);
	return call.err;
}

/* Reads the transport's own state. */
static void state_load(struct virtio_pci *p, struct snap_reader *r)
{
	struct virtio_pci_state *s = &p->state;

	pthread_mutex_lock(&p->lock);
	s->offered_select = snap_get_u32(r);
	s->accepted_select = snap_get_u32(r);
	s->queue_select = snap_get_u16(r);
	s->config_vector = vector_checked(p, snap_get_u16(r));
	for (unsigned int i = 0; i < p->device.ops->queue_count; i++)
		s->queue_vectors[i] = vector_checked(p, snap_get_u16(r));
	s->isr = snap_get_u8(r) & (ISR_QUEUE | ISR_CONFIG);
	pci_intx_set(&p->function, s->isr != 0);
	pthread_mutex_unlock(&p->lock);
}

static void load_on_loop(void *ctx)
{
	struct snap_call *call = ctx;
	struct virtio_pci *p = call->p;

	call->err = pci_function_load(&p->function, call->r);
	if (call->err < 0)
		return;
	master_on_loop(p);
	state_load(p, call->r);
	call->err = virtio_device_load(&p->device, call->r);
	if (call->err == 0 && snap_reader_error(call->r) < 0)
		call->err = -EBADMSG;
}

int virtio_pci_load(void *state, struct snap_reader *r)
{
	struct virtio_pci *p = state;
	struct snap_call call = { .p = p, .r = r };

	loop_call(p->device.host.loop, load_on_loop, &call);
	if (call.err < 0)
		virtio_pci_reset(p);
	return call.err;
}

void virtio_pci_destroy(void *state)
{
	struct virtio_pci *p = state;

	pci_function_finish(&p->function);
	virtio_device_finish(&p->device);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
