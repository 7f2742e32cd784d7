/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of a VM: created in the order that arch.h gives, started, stopped and
 * destroyed.  Main thread, except where the header permits any.
 */
#include "vmm/vm/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/bus/loop.h"
#include "vmm/pci/host.h"
#include "vmm/snap/file.h"
#include "vmm/virtio/virtio.h"
#include "vmm/vm/private.h"

/* How long vCPU threads may take to end before the pager is cancelled. */
#define STOP_PATIENCE_NS (UINT64_C(200) * 1000 * 1000)

/* A device or an exit ends the VM.  Any thread. */
static void raise_event(struct machine *machine, enum machine_event event)
{
	struct vm *vm = container_of(machine, struct vm, machine);
	static const enum vm_end_kind kinds[] = {
		[MACHINE_POWER_OFF] = VM_END_POWER_OFF,
		[MACHINE_RESET] = VM_END_RESET,
		[MACHINE_CRASH] = VM_END_CRASH,
	};

	vm_end(vm, kinds[event], 0);
}

/* Creates the VM and its memory, with memslots. */
static int create_memory(struct vm *vm)
{
	struct machine *m = &vm->machine;
	struct memory_range ranges[MEMORY_RANGES_MAX];
	struct memory_config config = { .ranges = ranges };
	int n = arch_ram_ranges(&m->kvm, vm->config.memory_bytes, ranges), r;
	unsigned long type;

	if (n < 0)
		return n;
	config.range_count = (unsigned int)n;
	r = arch_vm_type(&m->kvm, ranges[n - 1].gpa + ranges[n - 1].size_bytes,
			 &type);
	if (r < 0)
		return r;
	r = kvm_vm_create(&m->vm, &m->kvm, type);
	if (r < 0)
		return r;
	r = arch_vm_setup(m);
	if (r < 0)
		return r;
	r = vm_paging_choose(vm, &config);
	if (r < 0)
		return r;
	r = memory_init(&m->memory, &config, &m->vm);
	if (r < 0)
		return r;
	r = pager_prepare(&m->memory, vm->pager_choice.mode);
	if (r < 0)
		return r;
	return memory_attach(&m->memory, &m->vm);
}

/* -EINVAL, logged, for more vCPUs than KVM supports. */
static int check_cpu_count(struct vm *vm)
{
	int max = kvm_check_cap(vm->machine.kvm.fd, KVM_CAP_MAX_VCPUS);
	unsigned int limit = max > 0 ? (unsigned int)max : 4;

	if (limit > MACHINE_CPUS_MAX)
		limit = MACHINE_CPUS_MAX;
	if (vm->config.cpu_count > limit)
		return log_fail(EINVAL, "--cpus %u: maximum is %u on this host",
				vm->config.cpu_count, limit);
	return 0;
}

/* Interrupts, address spaces, event loops, PCI host. */
static int create_buses(struct vm *vm)
{
	struct machine *m = &vm->machine;
	struct pci_host_config pci = {
		.mmio = &m->mmio,
		.irqs = &m->irqs,
		.ecam_gpa = m->layout.ecam_gpa,
		.ecam_bytes = m->layout.ecam_bytes,
		.mmio_gpa = m->layout.pci_mmio_gpa,
		.mmio_bytes = m->layout.pci_mmio_bytes,
		.intx_first = m->layout.intx_first,
		.intx_count = m->layout.intx_count,
	};
	int r = irqs_init(&m->irqs, &m->vm, &m->layout.irq_map);

	if (r < 0)
		return r;
	r = loop_create(&vm->loop);
	if (r >= 0 && vm->config.disk_count)
		r = loop_create(&vm->disk_loop);
	if (r < 0)
		return r;
	r = pci_host_create(&vm->pci, &pci);
	if (r < 0)
		return r;
	/* The first device, and so the last to be destroyed. */
	pci_host_device(vm->pci, &vm->devices[vm->device_count++]);
	return 0;
}

/* The stages, in the order that the kernel needs. */
static int create_stages(struct vm *vm)
{
	static int (*const stages[])(struct vm * vm) = {
		check_cpu_count, create_memory,	    vcpus_create,
		create_buses,	 vm_devices_create,
	};
	int r;

	vm->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vm->end_fd < 0)
		return log_errno(errno, "eventfd");
	r = kvm_open(&vm->machine.kvm, vm->config.kvm_path);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(stages); i++)
		r = stages[i](vm);
	return r;
}

int vm_create(struct vm **out, const struct vm_config *config)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int r;

	if (!vm)
		return log_errno(ENOMEM, "virtual machine");
	vm->config = *config;
	if (!config->disk_queues)
		vm->config.disk_queues =
			(unsigned int)min_u64(config->cpu_count,
					      VIRTIO_BLK_QUEUES_MAX);
	vm->signal_fd = -1;
	vm->machine.raise = raise_event;
	vm->machine.kvm.fd = -1;
	vm->machine.vm.fd = -1;
	arch_layout(&vm->machine.layout);
	pthread_mutex_init(&vm->lock, NULL);
	clock_cond_init(&vm->changed);
	bus_init(&vm->machine.mmio);
	bus_init(&vm->machine.pio);
	r = create_stages(vm);
	if (r < 0) {
		vm_destroy(vm);
		return r;
	}
	*out = vm;
	return 0;
}

static void stop_loops(struct vm *vm)
{
	if (vm->disk_loop)
		loop_stop(vm->disk_loop);
	if (vm->loop)
		loop_stop(vm->loop);
}

/*
 * Joins the vCPU threads, which vm_end() has kicked, and unblocks every thread
 * that waits for a page: a vCPU, a loop, a snapshot in progress.  Threads that
 * userfaultfd blocks are woken last, after the devices have stopped: they see
 * zeros then, and nothing may act on that.
 */
static void stop_threads(struct vm *vm)
{
	if (vm->pager) {
		vcpus_wait(vm, STOP_PATIENCE_NS);
		pager_cancel(vm->pager);
		stop_loops(vm);
		pager_stop(vm->pager);
	}
	vcpus_join(vm);
	stop_loops(vm);
	vm_mapped_load_stop(vm);
}

void vm_destroy(struct vm *vm)
{
	struct machine *m;

	if (!vm)
		return;
	m = &vm->machine;
	vm_stop(vm);
	if (vm->signal_fd >= 0)
		close(vm->signal_fd);
	if (vm->end_fd >= 0)
		close(vm->end_fd);
	vm_devices_destroy(vm);
	pager_destroy(vm->pager);
	loop_destroy(vm->disk_loop);
	loop_destroy(vm->loop);
	irqs_finish(&m->irqs);
	arch_vm_finish(m);
	/* They keep the VM in KVM. */
	vm_mapped_faults_close(vm);
	for (unsigned int i = 0; m->cpus && i < m->cpu_count; i++)
		kvm_vcpu_destroy(&m->cpus[i]);
	free(m->cpus);
	free(vm->vcpus);
	kvm_vm_destroy(&m->vm);
	vm_mapped_close(vm);
	vm_track_finish(vm);
	pager_unprepare(&m->memory);
	memory_finish(&m->memory);
	kvm_close(&m->kvm);
	bus_finish(&m->mmio);
	bus_finish(&m->pio);
	pthread_cond_destroy(&vm->changed);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}

int vm_boot(struct vm *vm, const struct boot_config *boot)
{
	struct plan plan = { 0 };
	int r = arch_boot(&vm->machine, boot, &plan);

	if (r >= 0)
		r = vm_memory_from_plan(vm, &plan);
	plan_finish(&plan);
	return r;
}

int vm_power_button(struct vm *vm)
{
	return arch_notify(&vm->machine, MACHINE_NOTICE_POWER_BUTTON);
}

void vm_retry_pages(struct vm *vm)
{
	if (vm->pager)
		pager_retry(vm->pager);
}

const struct vm_config *vm_get_config(const struct vm *vm)
{
	return &vm->config;
}

uint64_t vm_entered_ns(const struct vm *vm)
{
	return atomic_load(&vm->entered_ns);
}

/* Lets the vCPUs run, unless the VM has ended before its start. */
static void first_run(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	if (atomic_load(&vm->phase) == VM_PHASE_PAUSED)
		atomic_store(&vm->phase, VM_PHASE_RUN);
	pthread_mutex_unlock(&vm->lock);
}

int vm_start(struct vm *vm)
{
	int r = loop_start(vm->loop);

	if (r >= 0 && vm->disk_loop)
		r = loop_start(vm->disk_loop);
	if (r < 0)
		return r;
	/* Before pager_start(): no client can retry for these devices yet. */
	if (vm->paused)
		r = vm_resume(vm);
	else
		first_run(vm);
	if (r >= 0 && vm->pager)
		r = pager_start(vm->pager);
	if (r >= 0)
		r = vm_mapped_load_start(vm);
	return r < 0 ? r : vcpus_start(vm);
}

void vm_stop(struct vm *vm)
{
	vm_end(vm, VM_END_LEAVE, 0);
	stop_threads(vm);
}
