/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The devices of a VM: the table of them, whose order gives the PCI slots, and how
 * all of them are quiesced for a pause.
 *
 * Disks have an event loop of their own: a disk that keeps its thread busy would
 * make the console wait for a processor, where a thread that mostly sleeps gets one
 * at once.
 *
 * Main thread creates and destroys them, the control thread pauses them; *_on_loop()
 * run on the loop of the devices concerned.
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
 * How long to wait for a loop while it is blocked on a page, or on a file of the
 * host.
 */
#define PAGE_PATIENCE_NS (5 * NS_PER_S)
#define FILE_PATIENCE_NS (30 * NS_PER_S)
/* How long the requests of the devices of a loop may take to end. */
#define REQUEST_PATIENCE_NS (10 * NS_PER_S)
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

	host.loop = vm->disk_loop;
	if (n == 0)
		vm->first_disk = vm->device_count;
	snprintf(name, sizeof(name), "disk%u", n);
	return virtio_blk_create(device, &host, name, &vm->config.disks[n],
				 vm->config.disk_queues);
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
	/* Accesses nothing of the host but the terminal; these are the first. */
	bool local;
} device_rows[] = {
	{ one, create_serial, true },
	{ count_rtc, create_rtc, true },
	{ count_console, create_console, true },
	{ count_disks, create_disk, false },
	{ one, create_rng, false },
	{ count_shares, create_share, false },
	{ count_ports, create_ports, false },
	{ count_nets, create_net, false },
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

/* Destroys devices, the last one first, until @count are left. */
static void destroy_until(struct vm *vm, unsigned int count)
{
	while (vm->device_count > count) {
		struct device *device = &vm->devices[--vm->device_count];

		device->ops->destroy(device->state);
	}
}

void vm_finish_requests(struct vm *vm)
{
	unsigned int count = 0;

	for (size_t i = 0; device_rows[i].local; i++)
		count += device_rows[i].count(vm);
	destroy_until(vm, count);
}

void vm_finish_devices(struct vm *vm)
{
	vm_devices_destroy(vm);
}

void vm_devices_destroy(struct vm *vm)
{
	destroy_until(vm, 0);
}

/* The loop of a device. */
static struct loop *loop_of(const struct vm *vm, unsigned int device)
{
	return vm->disk_loop && device >= vm->first_disk &&
			       device < vm->first_disk + vm->config.disk_count ?
		       vm->disk_loop :
		       vm->loop;
}

/* One call of a loop, for all its devices. */
struct devices_call {
	struct vm *vm;
	struct loop *loop;
	int result;
};

/* Resumes those of the loop that are among the first @count. */
static void resume_devices(const struct devices_call *call, unsigned int count)
{
	struct vm *vm = call->vm;

	for (unsigned int i = 0; i < count; i++)
		if (loop_of(vm, i) == call->loop)
			vm->devices[i].ops->resume(vm->devices[i].state);
}

/* For loop_call(): runs on the loop thread. */
static void resume_on_loop(void *ctx)
{
	const struct devices_call *call = ctx;

	resume_devices(call, call->vm->device_count);
}

/* Quiesces all devices of the loop or none.  Loop thread. */
static void quiesce_on_loop(void *ctx)
{
	struct devices_call *call = ctx;
	struct vm *vm = call->vm;
	uint64_t deadline_ns = clock_now_ns() + REQUEST_PATIENCE_NS;

	for (unsigned int i = 0; i < vm->device_count; i++) {
		const struct device *device = &vm->devices[i];
		int r = loop_of(vm, i) == call->loop ?
				device->ops->quiesce(device->state,
						     deadline_ns) :
				0;

		if (r < 0) {
			resume_devices(call, i);
			call->result = r;
			return;
		}
	}
}

/* 0: keep waiting for a loop, busy since @since_ns; else why not, logged. */
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
static int call_patiently(const struct vm *vm, struct loop *loop,
			  void (*function)(void *ctx), void *ctx)
{
	uint64_t since_ns = clock_now_ns();

	while (loop_call_within(loop, function, ctx, CHECK_NS) < 0) {
		int r = check_patience(vm, since_ns);

		if (r < 0)
			return r;
	}
	return 0;
}

static int quiesce_loop(struct vm *vm, struct loop *loop)
{
	struct devices_call call = { .vm = vm, .loop = loop };
	int r = call_patiently(vm, loop, quiesce_on_loop, &call);

	return r < 0 ? r : call.result;
}

static void nothing(void *ctx)
{
	(void)ctx;
}

int vm_devices_sync(const struct vm *vm)
{
	int r = call_patiently(vm, vm->loop, nothing, NULL);

	return r == 0 && vm->disk_loop ?
		       call_patiently(vm, vm->disk_loop, nothing, NULL) :
		       r;
}

/* The loop is idle, as quiesced devices start nothing. */
static void resume_loop(struct vm *vm, struct loop *loop)
{
	struct devices_call call = { .vm = vm, .loop = loop };

	loop_call(loop, resume_on_loop, &call);
}

int vm_devices_quiesce(struct vm *vm)
{
	int r = quiesce_loop(vm, vm->loop);

	if (r < 0 || !vm->disk_loop)
		return r;
	r = quiesce_loop(vm, vm->disk_loop);
	if (r < 0)
		resume_loop(vm, vm->loop);
	return r;
}

void vm_devices_resume(struct vm *vm)
{
	resume_loop(vm, vm->loop);
	if (vm->disk_loop)
		resume_loop(vm, vm->disk_loop);
}
