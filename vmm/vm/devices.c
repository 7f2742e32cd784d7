/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The devices of a VM: the table of them, whose order gives the PCI slots, and how
 * all of them are quiesced for a pause.
 *
 * Main thread creates and destroys them, the control thread pauses them; *_on_loop()
 * run on the loop.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/bus/loop.h"
#include "vmm/dev/rtc.h"
#include "vmm/dev/serial.h"
#include "vmm/io/disk.h"
#include "vmm/virtio/virtio.h"
#include "vmm/vm/private.h"

/*
 * How long to wait for the loop while it is blocked on a page, or on the file of
 * a disk.
 */
#define PAGE_PATIENCE_NS (5 * NS_PER_S)
#define FILE_PATIENCE_NS (30 * NS_PER_S)
/* The interval at which the reason is checked. */
#define CHECK_NS (UINT64_C(20) * 1000 * 1000)

/* The part of the VM that virtio devices use. */
static struct virtio_host virtio_host(struct vm *vm)
{
	return (struct virtio_host){ .memory = &vm->machine.memory,
				     .pci = vm->pci,
				     .loop = vm->loop,
				     .kvm = &vm->machine.vm };
}

/* The serial port, which every VM has. */
static int create_serial(struct vm *vm, struct device *device, unsigned int n)
{
	struct machine *m = &vm->machine;
	bool console = vm->config.console == VM_CONSOLE_SERIAL;
	struct serial_config config = {
		.bus = m->layout.serial_is_pio ? &m->pio : &m->mmio,
		.base = m->layout.serial_base,
		.irqs = &m->irqs,
		.gsi = m->layout.serial_gsi,
		.loop = vm->loop,
		.terminal = console ? vm->config.terminal : NULL,
	};

	(void)n;
	return serial_create(device, "serial", &config);
}

/* The PL031 of architectures without another clock. */
static int create_rtc(struct vm *vm, struct device *device, unsigned int n)
{
	struct machine *m = &vm->machine;
	struct rtc_config config = {
		.bus = &m->mmio,
		.base = m->layout.rtc_gpa,
		.irqs = &m->irqs,
		.gsi = m->layout.rtc_gsi,
		.loop = vm->loop,
	};

	(void)n;
	return rtc_create(device, "rtc", &config);
}

static int create_console(struct vm *vm, struct device *device, unsigned int n)
{
	struct virtio_host host = virtio_host(vm);

	(void)n;
	return virtio_console_create(device, &host, "console",
				     vm->config.terminal);
}

static int create_disk(struct vm *vm, struct device *device, unsigned int n)
{
	struct virtio_host host = virtio_host(vm);
	char name[sizeof(device->name)];

	snprintf(name, sizeof(name), "disk%u", n);
	return virtio_blk_create(device, &host, name, &vm->config.disks[n]);
}

static int create_rng(struct vm *vm, struct device *device, unsigned int n)
{
	struct virtio_host host = virtio_host(vm);

	(void)n;
	return virtio_rng_create(device, &host, "rng");
}

static int create_share(struct vm *vm, struct device *device, unsigned int n)
{
	struct virtio_host host = virtio_host(vm);
	struct virtio_fs_share share = vm->config.shares[n];
	char name[sizeof(device->name)];

	snprintf(name, sizeof(name), "share%u", n);
	share.fs.fd_budget = fs_fd_budget(vm->config.share_count);
	return virtio_fs_create(device, &host, name, &share);
}

static int create_ports(struct vm *vm, struct device *device, unsigned int n)
{
	struct virtio_host host = virtio_host(vm);

	(void)n;
	return virtio_ports_create(device, &host, "ports", vm->config.ports);
}

static int create_net(struct vm *vm, struct device *device, unsigned int n)
{
	struct virtio_host host = virtio_host(vm);
	char name[sizeof(device->name)];

	snprintf(name, sizeof(name), "net%u", n);
	return virtio_net_create(device, &host, name, &vm->config.nets[n]);
}

/* How many devices a row has. */
static unsigned int one(const struct vm *vm)
{
	(void)vm;
	return 1;
}

static unsigned int count_rtc(const struct vm *vm)
{
	return vm->machine.layout.rtc_gpa != 0;
}

static unsigned int count_console(const struct vm *vm)
{
	return vm->config.console == VM_CONSOLE_VIRTIO;
}

static unsigned int count_disks(const struct vm *vm)
{
	return vm->config.disk_count;
}

static unsigned int count_shares(const struct vm *vm)
{
	return vm->config.share_count;
}

static unsigned int count_ports(const struct vm *vm)
{
	return vm->config.ports != NULL;
}

static unsigned int count_nets(const struct vm *vm)
{
	return vm->config.net_count;
}

/*
 * Where a new device goes: at the end, so that the devices of a snapshot keep
 * their slots.
 */
static const struct device_row {
	unsigned int (*count)(const struct vm *vm);
	int (*create)(struct vm *vm, struct device *device, unsigned int n);
} device_rows[] = {
	{ one, create_serial },
	{ count_rtc, create_rtc },
	{ count_console, create_console },
	{ count_disks, create_disk },
	{ one, create_rng },
	{ count_shares, create_share },
	{ count_ports, create_ports },
	{ count_nets, create_net },
};

static int create_row(struct vm *vm, const struct device_row *row)
{
	for (unsigned int n = 0; n < row->count(vm); n++) {
		int r;

		if (vm->device_count == VM_DEVICES_MAX)
			return log_fail(ENOSPC, "more than %d devices",
					VM_DEVICES_MAX);
		r = row->create(vm, &vm->devices[vm->device_count], n);
		if (r < 0)
			return r;
		vm->device_count++;
	}
	return 0;
}

/* The device with the name; NULL if there is none. */
static const struct device *find_device(const struct vm *vm, const char *name)
{
	for (unsigned int i = 0; i < vm->device_count; i++)
		if (!strcmp(vm->devices[i].name, name))
			return &vm->devices[i];
	return NULL;
}

void vm_share_usage(const struct vm *vm, unsigned int n, struct fs_usage *usage)
{
	char name[sizeof(vm->devices[0].name)];
	const struct device *device;

	snprintf(name, sizeof(name), "share%u", n);
	device = find_device(vm, name);
	if (device)
		virtio_fs_usage(device, usage);
}

bool vm_ports_drained(const struct vm *vm)
{
	const struct device *device = find_device(vm, "ports");

	return !device || virtio_ports_drained(device);
}

int vm_devices_create(struct vm *vm)
{
	for (size_t i = 0; i < ARRAY_SIZE(device_rows); i++) {
		int r = create_row(vm, &device_rows[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

void vm_finish_devices(struct vm *vm)
{
	vm_devices_destroy(vm);
}

void vm_devices_destroy(struct vm *vm)
{
	while (vm->device_count) {
		struct device *device = &vm->devices[--vm->device_count];

		device->ops->destroy(device->state);
	}
}

/* One call of the loop, for all devices. */
struct devices_call {
	struct vm *vm;
	int result;
};

static void resume_devices(struct vm *vm, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		vm->devices[i].ops->resume(vm->devices[i].state);
}

/* For loop_call(): runs on the loop thread. */
static void resume_on_loop(void *ctx)
{
	const struct devices_call *call = ctx;

	resume_devices(call->vm, call->vm->device_count);
}

/* Quiesces all devices or none.  Loop thread. */
static void quiesce_on_loop(void *ctx)
{
	struct devices_call *call = ctx;
	struct vm *vm = call->vm;

	for (unsigned int i = 0; i < vm->device_count; i++) {
		const struct device *device = &vm->devices[i];
		int r = device->ops->quiesce(device->state);

		if (r < 0) {
			resume_devices(vm, i);
			call->result = r;
			return;
		}
	}
}

/* 0: keep waiting for the loop, busy since @since_ns; else why not, logged. */
static int check_patience(const struct vm *vm, uint64_t since_ns)
{
	uint64_t waited_ns = clock_now_ns() - since_ns;
	bool wanted = vm->pager && pager_has_demand(vm->pager);

	if (atomic_load(&vm->phase) == VM_PHASE_END)
		return -ECANCELED;
	if (vm_is_stalled(vm) || (wanted && waited_ns > PAGE_PATIENCE_NS))
		return log_fail(
			ETIMEDOUT,
			"pause: a device timed out waiting for guest memory");
	if (waited_ns > FILE_PATIENCE_NS)
		return log_fail(EBUSY,
				"pause: a device has been busy for %.0f s",
				(double)waited_ns / NS_PER_S);
	return 0;
}

/*
 * The loop may be blocked on a page that only a command to this thread can retry.
 * So this thread waits in small steps; a call that the loop has not begun is
 * withdrawn, with nothing to undo.
 */
int vm_devices_quiesce(struct vm *vm)
{
	struct devices_call call = { .vm = vm };
	uint64_t since_ns = clock_now_ns();

	while (loop_call_within(vm->loop, quiesce_on_loop, &call, CHECK_NS) <
	       0) {
		int r = check_patience(vm, since_ns);

		if (r < 0)
			return r;
	}
	return call.result;
}

/* The loop is idle, as quiesced devices start nothing. */
void vm_devices_resume(struct vm *vm)
{
	struct devices_call call = { .vm = vm };

	loop_call(vm->loop, resume_on_loop, &call);
}
