// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio over PCI: the function, its capabilities, ioeventfds, and the device
 * operations.  BAR 0 holds the four structures that the vendor capabilities
 * point to, each in its own page (pci_registers.c); BAR 1 is MSI-X.
 *
 * Registers are accessed by vCPU threads.  The transport's lock guards its
 * state (pci_state.c).  It is held neither while the device is called nor while
 * guest memory is touched; the locks of the PCI function are taken inside it.
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
#include "vmm/virtio/pci_private.h"

/* virtio 1.2, 4.1.2.1 */
#define VENDOR_ID	    0x1af4
#define DEVICE_ID_BASE	    0x1040
#define SUBSYSTEM_ID_MODERN 0x40
#define REVISION_MODERN	    1

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

/* Moves the ioeventfds along with BAR 0. */
static void bar_moved(void *ctx, unsigned int bar, gpa_t gpa, bool decoded)
{
	struct virtio_pci *p = ctx;

	if (bar != BAR_REGISTERS || p->device.host.kvm == NULL)
		return;
	for (unsigned int i = 0; i < p->device.config.queue_count; i++)
		notify_bind(p, i, gpa, decoded);
}

/*
 * The window of the PCI_CFG capability (virtio 1.2, 4.1.4.9): an access of its
 * data field is an access of BAR 0, for firmware that cannot reach BARs.
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
		virtio_pci_write(p, bar, at, len, pci_config_get(f, data, len));
	else
		pci_config_put(f, data, len, virtio_pci_read(p, bar, at, len));
}

/* Applies the bus master bit of the command register to the device. */
static void master_on_loop(void *ctx)
{
	struct virtio_pci *p = ctx;

	virtio_device_set_master(&p->device,
				 pci_function_is_master(&p->function));
}

/*
 * When a write that clears the bus master bit returns, no request is in flight.
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
	.bar_read = virtio_pci_read,
	.bar_write = virtio_pci_write,
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

/* Adds the capabilities by which the driver finds the structures. */
static void add_parts(struct virtio_pci *p)
{
	struct pci_function *f = &p->function;
	unsigned int queues = p->device.config.queue_count;
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
		err = pci_function_msix(&p->function,
					p->device.config.queue_count + 1u,
					BAR_MSIX);
	if (err < 0)
		return log_errno(-err, "%s: PCI function", p->device.name);
	pci_function_bar(&p->function, BAR_REGISTERS, BAR_BYTES);
	add_parts(p);
	return pci_function_attach(&p->function, p->device.host.pci);
}

/* The size to bind ioeventfds with: 0 (any), which is fastest, if supported. */
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
	p->device.interrupt = virtio_pci_interrupt;
	p->device.transport = p;
	p->notify_bytes = notify_size(config->host->kvm);
	*out = &p->device;
	if (err == 0)
		err = function_create(p);
	if (err < 0) {
		virtio_pci_destroy(p);
		return err;
	}
	virtio_pci_state_reset(p);
	device->ops = config->device_ops;
	device->state = p;
	memcpy(device->name, p->device.name, sizeof(device->name));
	return 0;
}

void virtio_pci_reset(void *state)
{
	struct virtio_pci *p = state;

	virtio_device_reset(&p->device);
	virtio_pci_state_reset(p);
	pci_function_reset(&p->function);
	loop_call(p->device.host.loop, master_on_loop, p);
}

int virtio_pci_quiesce(void *state, uint64_t deadline_ns)
{
	struct virtio_pci *p = state;

	return virtio_device_quiesce(&p->device, deadline_ns);
}

void virtio_pci_resume(void *state)
{
	struct virtio_pci *p = state;

	virtio_device_resume(&p->device);
}

/* Save and load run on the loop thread, which owns the state. */
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

	pci_function_save(&p->function, w);
	virtio_pci_state_save(p, w);
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

static void load_on_loop(void *ctx)
{
	struct snap_call *call = ctx;
	struct virtio_pci *p = call->p;

	call->err = pci_function_load(&p->function, call->r);
	if (call->err < 0)
		return;
	master_on_loop(p);
	virtio_pci_state_load(p, call->r);
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

void *virtio_pci_impl(const struct device *device)
{
	const struct virtio_pci *p = device->state;

	return p->device.impl;
}
