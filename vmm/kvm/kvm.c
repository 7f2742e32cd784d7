/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The KVM requests that both architectures share. kvm_ioctl() contains the only
 * ioctl(2) on a KVM descriptor in the program.
 */
#include "vmm/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"

int kvm_ioctl(int fd, unsigned long request, void *arg)
{
	int r;

	do {
		r = ioctl(fd, request, arg);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

int kvm_ioctl_named(int fd, unsigned long request, void *arg, const char *name)
{
	int r = kvm_ioctl(fd, request, arg);

	return r < 0 ? log_errno(-r, "%s", name) : r;
}

const char *kvm_open_error(int err)
{
	switch (err) {
	case ENOENT:
	case ENXIO:
	case ENODEV:
		return "no such device; check that virtualization is enabled "
		       "in the firmware and the kvm module is loaded";
	case EACCES:
	case EPERM:
		return "permission denied; add your user to the group that "
		       "owns the device (usually kvm)";
	default:
		return strerrordesc_np(err);
	}
}

int kvm_open(struct kvm *kvm, const char *path)
{
	CLEANUP_CLOSE int fd = -1;
	int version, run_bytes;

	kvm->fd = -1;
	if (!path)
		path = "/dev/kvm";
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return log_fail(errno, "open %s: %s", path,
				kvm_open_error(errno));
	version = kvm_ioctl(fd, KVM_GET_API_VERSION, NULL);
	if (version < 0)
		return log_fail(ENODEV, "%s: not a KVM device", path);
	if (version != KVM_API_VERSION)
		return log_fail(ENODEV, "%s: KVM API version %d, expected %d",
				path, version, KVM_API_VERSION);
	run_bytes = kvm_call(fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (run_bytes < 0)
		return run_bytes;
	kvm->run_bytes = (size_t)run_bytes;
	kvm->fd = take_fd(&fd);
	return 0;
}

void kvm_close(struct kvm *kvm)
{
	if (kvm->run_bytes)
		close(kvm->fd);
	*kvm = (struct kvm){ .fd = -1 };
}

int kvm_check_cap(int fd, unsigned int cap)
{
	int r = kvm_ioctl(fd, KVM_CHECK_EXTENSION, (void *)(uintptr_t)cap);

	return r < 0 ? 0 : r;
}

int kvm_enable_cap(int fd, unsigned int cap, uint64_t arg0)
{
	struct kvm_enable_cap enable = { .cap = cap, .args = { arg0 } };

	return kvm_ioctl(fd, KVM_ENABLE_CAP, &enable);
}

int kvm_vm_create(struct kvm_vm *vm, const struct kvm *kvm, unsigned long type)
{
	int fd = kvm_call(kvm->fd, KVM_CREATE_VM, type);

	*vm = (struct kvm_vm){ .fd = fd < 0 ? -1 : fd,
			       .kvm = fd < 0 ? NULL : kvm };
	return fd < 0 ? fd : 0;
}

/* The kernel frees the VM when its vCPUs are closed, too. */
void kvm_vm_destroy(struct kvm_vm *vm)
{
	if (vm->kvm)
		close(vm->fd);
	*vm = (struct kvm_vm){ .fd = -1 };
}

int kvm_vcpu_create(struct kvm_vcpu *vcpu, const struct kvm_vm *vm,
		    unsigned int id)
{
	CLEANUP_CLOSE int fd = -1;
	void *run;

	fd = kvm_ioctl(vm->fd, KVM_CREATE_VCPU, (void *)(uintptr_t)id);
	if (fd < 0)
		return log_errno(-fd, "KVM_CREATE_VCPU %u", id);
	run = mmap(NULL, vm->kvm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		   fd, 0);
	if (run == MAP_FAILED)
		return log_errno(errno, "map kvm_run of vCPU %u", id);
	*vcpu = (struct kvm_vcpu){ .fd = take_fd(&fd),
				   .id = id,
				   .run = run,
				   .run_bytes = vm->kvm->run_bytes };
	return 0;
}

void kvm_vcpu_destroy(struct kvm_vcpu *vcpu)
{
	if (!vcpu->run)
		return;
	munmap(vcpu->run, vcpu->run_bytes);
	close(vcpu->fd);
	*vcpu = (struct kvm_vcpu){ .fd = -1 };
}

/*
 * Not by kvm_ioctl(): EINTR means a kick here and must be returned. Only the
 * exit reason of a memory fault is overwritten: arm64 needs the last exit
 * reason to complete an MMIO read.
 */
int kvm_vcpu_run(struct kvm_vcpu *vcpu)
{
	if (vcpu->run->exit_reason == KVM_EXIT_MEMORY_FAULT)
		vcpu->run->exit_reason = KVM_EXIT_SENTINEL;
	return ioctl(vcpu->fd, KVM_RUN, NULL) < 0 ? -errno : 0;
}

bool kvm_vcpu_fault(const struct kvm_vcpu *vcpu,
		    struct thaw_memory_fault *fault)
{
	if (vcpu->run->exit_reason != KVM_EXIT_MEMORY_FAULT)
		return false;
	/* The union starts at @hw; older headers do not name this member. */
	memcpy(fault, &vcpu->run->hw, sizeof(*fault));
	return true;
}

/* Whether the slot needs KVM_SET_USER_MEMORY_REGION2. */
static bool needs_region2(const struct kvm_slot *slot)
{
	return slot->guest_memfd >= 0 || slot->userfault_bitmap ||
	       (slot->flags & (KVM_MEM_GUEST_MEMFD | KVM_MEM_USERFAULT));
}

int kvm_slot_try(const struct kvm_vm *vm, const struct kvm_slot *slot)
{
	struct kvm_userspace_memory_region one = {
		.slot = slot->id,
		.flags = slot->flags,
		.guest_phys_addr = slot->gpa,
		.memory_size = slot->size_bytes,
		.userspace_addr = (uintptr_t)slot->hva,
	};
	struct thaw_region2 two = {
		.slot = slot->id,
		.flags = slot->flags,
		.guest_phys_addr = slot->gpa,
		.memory_size = slot->size_bytes,
		.userspace_addr = (uintptr_t)slot->hva,
		.guest_memfd_offset = slot->guest_memfd_offset,
		.guest_memfd =
			slot->guest_memfd < 0 ? 0 : (uint32_t)slot->guest_memfd,
		.userfault_bitmap = (uintptr_t)slot->userfault_bitmap,
	};

	if (needs_region2(slot))
		return kvm_ioctl(vm->fd, THAW_SET_USER_MEMORY_REGION2, &two);
	return kvm_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &one);
}

int kvm_slot_set(const struct kvm_vm *vm, const struct kvm_slot *slot)
{
	int r = kvm_slot_try(vm, slot);

	if (r < 0)
		return log_errno(-r,
				 "memslot %u at 0x%llx, %llu bytes, flags 0x%x",
				 slot->id, (unsigned long long)slot->gpa,
				 (unsigned long long)slot->size_bytes,
				 slot->flags);
	return r;
}

int kvm_dirty_log_take(const struct kvm_vm *vm, uint32_t id, uint64_t *bits)
{
	struct kvm_dirty_log log = { .slot = id, .dirty_bitmap = bits };

	return kvm_call(vm->fd, KVM_GET_DIRTY_LOG, &log);
}

int kvm_guest_memfd_create(const struct kvm_vm *vm, uint64_t size_bytes)
{
	struct thaw_guest_memfd create = {
		.size = size_bytes,
		.flags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED,
	};

	return kvm_ioctl(vm->fd, THAW_CREATE_GUEST_MEMFD, &create);
}

int kvm_irq_line(const struct kvm_vm *vm, uint32_t irq, bool level)
{
	struct kvm_irq_level line = { .irq = irq, .level = level };

	return kvm_call(vm->fd, KVM_IRQ_LINE, &line);
}

int kvm_irqfd_bind(const struct kvm_vm *vm, int eventfd, uint32_t gsi)
{
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)eventfd,
		.gsi = gsi,
	};

	return kvm_call(vm->fd, KVM_IRQFD, &irqfd);
}

int kvm_irqfd_unbind(const struct kvm_vm *vm, int eventfd, uint32_t gsi)
{
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)eventfd,
		.gsi = gsi,
		.flags = KVM_IRQFD_FLAG_DEASSIGN,
	};

	return kvm_call(vm->fd, KVM_IRQFD, &irqfd);
}

int kvm_routes_set(const struct kvm_vm *vm,
		   const struct kvm_irq_routing_entry *entries, size_t count)
{
	CLEANUP_FREE struct kvm_irq_routing *table = NULL;

	table = calloc(1, sizeof(*table) + count * sizeof(entries[0]));
	if (!table)
		return log_errno(ENOMEM, "GSI routing table");
	table->nr = (uint32_t)count;
	memcpy(table->entries, entries, count * sizeof(entries[0]));
	return kvm_call(vm->fd, KVM_SET_GSI_ROUTING, table);
}

/* Converts a binding to the kernel's struct. */
static struct kvm_ioeventfd ioeventfd_of(const struct kvm_ioevent *ev)
{
	return (struct kvm_ioeventfd){
		.addr = ev->addr,
		.len = ev->size_bytes,
		.fd = ev->eventfd,
		.flags = ev->pio ? KVM_IOEVENTFD_FLAG_PIO : 0,
	};
}

int kvm_ioeventfd_bind(const struct kvm_vm *vm, const struct kvm_ioevent *ev)
{
	struct kvm_ioeventfd arg = ioeventfd_of(ev);

	return kvm_call(vm->fd, KVM_IOEVENTFD, &arg);
}

int kvm_ioeventfd_unbind(const struct kvm_vm *vm, const struct kvm_ioevent *ev)
{
	struct kvm_ioeventfd arg = ioeventfd_of(ev);

	arg.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
	return kvm_call(vm->fd, KVM_IOEVENTFD, &arg);
}

/* Issues a request that takes a struct kvm_device_attr. */
static int attr_call(int fd, unsigned long request, uint32_t group,
		     uint64_t attr, const void *value)
{
	struct kvm_device_attr arg = {
		.group = group,
		.attr = attr,
		.addr = (uintptr_t)value,
	};

	return kvm_ioctl(fd, request, &arg);
}

int kvm_attr_get(int fd, uint32_t group, uint64_t attr, void *value)
{
	return attr_call(fd, KVM_GET_DEVICE_ATTR, group, attr, value);
}

int kvm_attr_set(int fd, uint32_t group, uint64_t attr, const void *value)
{
	return attr_call(fd, KVM_SET_DEVICE_ATTR, group, attr, value);
}

int kvm_vcpu_prefault(const struct kvm_vcpu *vcpu, uint64_t gpa,
		      uint64_t size_bytes)
{
	struct kvm_pre_fault_memory range = { .gpa = gpa, .size = size_bytes };
	int r = kvm_ioctl(vcpu->fd, KVM_PRE_FAULT_MEMORY, &range);

	/* A kernel that does not know the request says ENOTTY. */
	return r == -ENOTTY ? -EOPNOTSUPP : r;
}

int kvm_mp_state_get(const struct kvm_vcpu *vcpu, uint32_t *state)
{
	struct kvm_mp_state mp = { 0 };
	int r = kvm_call(vcpu->fd, KVM_GET_MP_STATE, &mp);

	*state = mp.mp_state;
	return r;
}

int kvm_mp_state_set(const struct kvm_vcpu *vcpu, uint32_t state)
{
	struct kvm_mp_state mp = { .mp_state = state };

	return kvm_call(vcpu->fd, KVM_SET_MP_STATE, &mp);
}
