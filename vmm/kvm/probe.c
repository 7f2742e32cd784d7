/* SPDX-License-Identifier: BSD-2-Clause */
/* Probes the capabilities of this host's KVM. One thread. */
#include "vmm/kvm/probe.h"

#include <errno.h>
#include <sys/mman.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/kvm/kvm.h"

/*
 * A multiple of the host page size on both architectures, as slots and
 * guest_memfds require.
 */
#define SCRATCH_BYTES UINT64_C(65536)

/* Required capabilities first, then by age. */
static const struct kvm_probe_cap caps[] = {
	{
		.cap = KVM_CAP_USER_MEMORY,
		.needed = true,
		.name = "user_memory",
		.use = "guest memory",
	},
	{
		.cap = KVM_CAP_IRQFD,
		.needed = true,
		.name = "irqfd",
		.use = "interrupt injection by eventfd",
	},
	{
		.cap = KVM_CAP_IOEVENTFD,
		.needed = true,
		.name = "ioeventfd",
		.use = "virtqueue kicks without an exit to userspace",
	},
	{
		.cap = KVM_CAP_SIGNAL_MSI,
		.needed = true,
		.name = "signal_msi",
		.use = "MSI-X",
	},
	{
		.cap = KVM_CAP_IMMEDIATE_EXIT,
		.needed = true,
		.name = "immediate_exit",
		.use = "race-free vCPU kicks",
		.since = "Linux 4.11",
	},
	{
		.cap = KVM_CAP_MP_STATE,
		.name = "mp_state",
		.use = "save and restore of vCPU run states",
		.without = "snapshots are not supported",
	},
	{
		.cap = KVM_CAP_IRQ_ROUTING,
		.name = "irq_routing",
		.use = "MSI injection by eventfd",
		.without = "one ioctl per MSI",
	},
	{
		.cap = KVM_CAP_IRQFD_RESAMPLE,
		.name = "irqfd_resample",
		.use = "level-triggered interrupts of PCI devices",
		.without = "guest drivers must use MSI-X",
	},
	{
		.cap = KVM_CAP_IOEVENTFD_ANY_LENGTH,
		.name = "ioeventfd_any_length",
		.use = "one ioeventfd for all access widths",
		.without = "one ioeventfd per access width",
	},
	{
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		.name = "manual_dirty_log_protect2",
		.use = "incremental clearing of the dirty log",
		.without = "dirty logs are cleared as a whole",
		.since = "Linux 5.2",
	},
	{
		.cap = KVM_CAP_DIRTY_LOG_RING_ACQ_REL,
		.name = "dirty_log_ring_acq_rel",
		.use = "per-vCPU dirty rings",
		.without = "dirty bitmaps are used",
		.since = "Linux 6.1",
	},
	{
		.cap = KVM_CAP_USER_MEMORY2,
		.name = "user_memory2",
		.use = "memslots with guest_memfd or userfault",
		.without = "anonymous memory only",
		.since = "Linux 6.8",
	},
	{
		.cap = KVM_CAP_MEMORY_FAULT_INFO,
		.name = "memory_fault_info",
		.use = "guest address of a failed access",
		.without = "errors may lack a guest address (arm64 reports it "
			   "regardless)",
		.since = "Linux 6.8",
	},
	{
		.cap = KVM_CAP_PRE_FAULT_MEMORY,
		.name = "pre_fault_memory",
		.use = "prefaulting of stage-2 page tables",
		.without = "pages are mapped on first access",
		.since = "Linux 6.11",
	},
};
_Static_assert(ARRAY_SIZE(caps) <= KVM_PROBE_CAPS_MAX, "probe has room");

const struct kvm_probe_cap *kvm_probe_caps(size_t *count)
{
	*count = ARRAY_SIZE(caps);
	return caps;
}

/* Sets @slot and deletes it; 0 or -errno. */
static int try_slot(const struct kvm_vm *vm, struct kvm_slot slot)
{
	int err = kvm_slot_try(vm, &slot);

	if (err < 0)
		return err;
	slot.size_bytes = 0;
	slot.flags = 0;
	slot.userfault_bitmap = NULL;
	slot.guest_memfd = -1;
	kvm_slot_try(vm, &slot);
	return 0;
}

/*
 * Sets a slot with userfault over @hva (and @guest_memfd, unless -1); 0 or
 * -errno.
 */
static int try_userfault(const struct kvm_vm *vm, void *hva, int guest_memfd)
{
	unsigned long bitmap[SCRATCH_BYTES / PAGE_BYTES / 8] = { 0 };

	return try_slot(vm, (struct kvm_slot){
				    .flags = KVM_MEM_USERFAULT |
					     (guest_memfd < 0 ?
						      0 :
						      KVM_MEM_GUEST_MEMFD),
				    .size_bytes = SCRATCH_BYTES,
				    .hva = hva,
				    .guest_memfd = guest_memfd,
				    .userfault_bitmap = bitmap,
			    });
}

/* Creates a guest_memfd with @flags. The descriptor, or -errno. */
static int create_guest_memfd(const struct kvm_vm *vm, uint64_t flags)
{
	struct thaw_guest_memfd create = { .size = SCRATCH_BYTES,
					   .flags = flags };

	return kvm_ioctl(vm->fd, THAW_CREATE_GUEST_MEMFD, &create);
}

/* 0 if a guest_memfd with @flags can be created, else -errno. */
static int try_guest_memfd(const struct kvm_vm *vm, uint64_t flags)
{
	CLEANUP_CLOSE int fd = create_guest_memfd(vm, flags);

	return fd < 0 ? fd : 0;
}

int kvm_probe_userfault(const struct kvm_vm *vm)
{
	void *hva = mmap(NULL, SCRATCH_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	int err;

	if (hva == MAP_FAILED)
		return -errno;
	err = try_userfault(vm, hva, -1);
	munmap(hva, SCRATCH_BYTES);
	return err;
}

/* Probes a shared guest_memfd: mmap(), a slot with it, userfault. */
static void probe_shared(struct kvm_probe *probe, const struct kvm_vm *vm)
{
	CLEANUP_CLOSE int fd = kvm_guest_memfd_create(vm, SCRATCH_BYTES);
	void *hva;

	/*
	 * A trial that cannot be made gets the error of the step that failed.
	 */
	probe->guest_memfd_shared = fd < 0 ? fd : 0;
	probe->guest_memfd_map = probe->guest_memfd_shared;
	probe->guest_memfd_slot = probe->guest_memfd_shared;
	probe->userfault_guest_memfd = probe->guest_memfd_shared;
	if (fd < 0)
		return;
	hva = mmap(NULL, SCRATCH_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		   0);
	if (hva == MAP_FAILED) {
		probe->guest_memfd_map = -errno;
		probe->guest_memfd_slot = probe->guest_memfd_map;
		probe->userfault_guest_memfd = probe->guest_memfd_map;
		return;
	}
	probe->guest_memfd_slot =
		try_slot(vm, (struct kvm_slot){ .flags = KVM_MEM_GUEST_MEMFD,
						.size_bytes = SCRATCH_BYTES,
						.hva = hva,
						.guest_memfd = fd });
	probe->userfault_guest_memfd = try_userfault(vm, hva, fd);
	munmap(hva, SCRATCH_BYTES);
}

void kvm_probe(struct kvm_probe *probe, const struct kvm *kvm,
	       const struct kvm_vm *vm)
{
	*probe = (struct kvm_probe){ 0 };
	probe->api_version = kvm_ioctl(kvm->fd, KVM_GET_API_VERSION, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(caps); i++)
		probe->caps[i] = kvm_check_cap(vm->fd, caps[i].cap);
	probe->vcpus_advised = kvm_check_cap(vm->fd, KVM_CAP_NR_VCPUS);
	probe->vcpus_max = kvm_check_cap(vm->fd, KVM_CAP_MAX_VCPUS);
	/* api.rst 4.4: without the capability, four vCPUs. */
	if (probe->vcpus_advised == 0)
		probe->vcpus_advised = 4;
	if (probe->vcpus_max == 0)
		probe->vcpus_max = probe->vcpus_advised;
	probe->slots_max = kvm_check_cap(vm->fd, KVM_CAP_NR_MEMSLOTS);
	probe->guest_memfd = try_guest_memfd(vm, 0);
	probe->guest_memfd_mmap = try_guest_memfd(vm, GUEST_MEMFD_FLAG_MMAP);
	probe->userfault_anon = kvm_probe_userfault(vm);
	probe_shared(probe, vm);
}
