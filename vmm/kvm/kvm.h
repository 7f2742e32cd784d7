/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The KVM layer: the only room that calls ioctl(2) on a KVM descriptor.
 *
 * Three small structs own the three kinds of descriptor. A request that both
 * architectures use is a function here. A request that only one uses, and
 * KVM_GET_VCPU_EVENTS and KVM_SET_VCPU_EVENTS, whose struct differs, are named
 * in arch/ and issued by kvm_call() or kvm_ioctl(). No other room names a
 * request; tests/lint/ioctl.py checks all of this.
 *
 * Threads: a struct kvm_vcpu belongs to its vCPU thread once that runs; the
 * others may be used from any thread, the kernel does the locking.
 *
 * Errors: 0 or a positive result, or -errno. Functions log the failure once
 * unless their comment says that they are silent.
 */
#ifndef VMM_KVM_KVM_H
#define VMM_KVM_KVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/kvm/uapi.h"

/* An open /dev/kvm. */
struct kvm {
	int fd;
	size_t run_bytes; /* KVM_GET_VCPU_MMAP_SIZE */
};

/* One virtual machine; holds no reference to struct kvm. */
struct kvm_vm {
	int fd;
	const struct kvm *kvm;
};

/* One virtual CPU. */
struct kvm_vcpu {
	int fd;
	unsigned int id;
	struct kvm_run *run; /* shared with the kernel */
	size_t run_bytes;
};

/* ioctl() with EINTR retried. 0 or more, or -errno; silent. */
int kvm_ioctl(int fd, unsigned long request, void *arg);

/* The same, logging "KVM_X: reason" on failure. */
int kvm_ioctl_named(int fd, unsigned long request, void *arg, const char *name);

/* kvm_call(vcpu->fd, KVM_GET_REGS, &regs): logs by the request's name. */
#define kvm_call(fd, request, arg) \
	kvm_ioctl_named(fd, request, (void *)(uintptr_t)(arg), #request)

/*
 * Opens @path (NULL: /dev/kvm) and checks the API version (12). Logs the reason
 * of a failure and its remedy.
 */
int kvm_open(struct kvm *kvm, const char *path);

/*
 * The reason why a KVM device could not be opened, from a positive errno value,
 * and its remedy.
 */
const char *kvm_open_error(int err);

/* A zeroed struct, or one with fd -1, is fine. */
void kvm_close(struct kvm *kvm);

/* The value of a capability, 0 if unknown; silent. @fd: system or VM. */
int kvm_check_cap(int fd, unsigned int cap);

/* Enables a capability of a VM; silent. */
int kvm_enable_cap(int fd, unsigned int cap, uint64_t arg0);

/* Creates a VM; @type is specific to the architecture, usually 0. */
int kvm_vm_create(struct kvm_vm *vm, const struct kvm *kvm, unsigned long type);
void kvm_vm_destroy(struct kvm_vm *vm);

/* Creates vCPU @id and maps its struct kvm_run. */
int kvm_vcpu_create(struct kvm_vcpu *vcpu, const struct kvm_vm *vm,
		    unsigned int id);
void kvm_vcpu_destroy(struct kvm_vcpu *vcpu);

/*
 * KVM_RUN. 0 after an exit that must be handled, -EINTR after a kick, -EFAULT
 * when KVM reported a fault (kvm_vcpu_fault() returns it), another -errno when
 * the vCPU cannot run. Silent. If exit_reason is that of a memory fault, it is
 * replaced by a sentinel first, because KVM does not write it on some errors;
 * any other value is kept, because KVM on arm64 completes the exit by it.
 */
int kvm_vcpu_run(struct kvm_vcpu *vcpu);

/* The exit_reason that kvm_vcpu_run() stores over that of an old fault. */
#define KVM_EXIT_SENTINEL UINT32_C(0xffffffff)

/*
 * After -EFAULT: true, with *@fault filled, if KVM reported a memory fault;
 * false if it did not (a bad userfault bitmap, for example).
 */
bool kvm_vcpu_fault(const struct kvm_vcpu *vcpu,
		    struct thaw_memory_fault *fault);

/*
 * KVM_PRE_FAULT_MEMORY: maps [@gpa, @gpa + @size_bytes) for reads as far as its
 * pages are present, on the vCPU's thread; a part may be mapped after any error.
 * -EOPNOTSUPP: not supported.  Silent.
 */
int kvm_vcpu_prefault(const struct kvm_vcpu *vcpu, uint64_t gpa,
		      uint64_t size_bytes);

/* A memslot, as passed to the kernel. */
struct kvm_slot {
	uint32_t id;
	uint32_t flags; /* KVM_MEM_* */
	uint64_t gpa;
	uint64_t size_bytes; /* 0 deletes the slot */
	void *hva;
	int guest_memfd; /* -1: none */
	uint64_t guest_memfd_offset;
	unsigned long *userfault_bitmap; /* NULL: none */
};

/*
 * Sets a slot, by the first version of the ioctl if that suffices.
 * kvm_slot_try() is silent, for probing.
 */
int kvm_slot_set(const struct kvm_vm *vm, const struct kvm_slot *slot);
int kvm_slot_try(const struct kvm_vm *vm, const struct kvm_slot *slot);

/*
 * Stores which pages of slot @id were written since the last call in @bits, a bit
 * for each page of the host, rounded up to words of 64.  The slot has
 * KVM_MEM_LOG_DIRTY_PAGES.
 */
int kvm_dirty_log_take(const struct kvm_vm *vm, uint32_t id, uint64_t *bits);

/*
 * Creates a guest_memfd of @size_bytes that can be mapped and is shared
 * initially. Returns the descriptor, owned by the caller, or -errno; silent.
 */
int kvm_guest_memfd_create(const struct kvm_vm *vm, uint64_t size_bytes);

/* KVM_IRQ_LINE; @irq has the encoding of the architecture. */
int kvm_irq_line(const struct kvm_vm *vm, uint32_t irq, bool level);

/*
 * Binds @eventfd to an edge-triggered GSI: a write to the eventfd raises the
 * interrupt, until kvm_irqfd_unbind().
 */
int kvm_irqfd_bind(const struct kvm_vm *vm, int eventfd, uint32_t gsi);
int kvm_irqfd_unbind(const struct kvm_vm *vm, int eventfd, uint32_t gsi);

/* Replaces the GSI routing table. */
int kvm_routes_set(const struct kvm_vm *vm,
		   const struct kvm_irq_routing_entry *entries, size_t count);

/*
 * Binds @eventfd to writes of @size_bytes (0: any size, if KVM supports it) at
 * @addr of the MMIO space, or of the port space if @pio.
 */
struct kvm_ioevent {
	uint64_t addr;
	uint32_t size_bytes;
	bool pio;
	int eventfd;
};
int kvm_ioeventfd_bind(const struct kvm_vm *vm, const struct kvm_ioevent *ev);
int kvm_ioeventfd_unbind(const struct kvm_vm *vm, const struct kvm_ioevent *ev);

/*
 * Reads or writes the attribute @group:@attr of a KVM device, or of a vCPU
 * (Documentation/virt/kvm/devices/).  0 or -errno; silent.
 */
int kvm_attr_get(int fd, uint32_t group, uint64_t attr, void *value);
int kvm_attr_set(int fd, uint32_t group, uint64_t attr, const void *value);

/* KVM_MP_STATE_* of a vCPU that is not in KVM_RUN. */
int kvm_mp_state_get(const struct kvm_vcpu *vcpu, uint32_t *state);
int kvm_mp_state_set(const struct kvm_vcpu *vcpu, uint32_t state);

#endif
