/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The KVM interface: <linux/kvm.h>, and definitions newer than the headers of
 * many build machines. Values and layouts are from the kernel document
 * Documentation/virt/kvm/api.rst; those of userfault, which is in no released
 * kernel, from the API text of KVM_MEM_USERFAULT.
 */
#ifndef VMM_KVM_UAPI_H
#define VMM_KVM_UAPI_H

#include <linux/kvm.h>
#include <stdint.h>
#include <sys/ioctl.h>

/* KVM_SET_USER_MEMORY_REGION2, api.rst 4.140, since Linux 6.8. */
#define THAW_SET_USER_MEMORY_REGION2 _IOW(KVMIO, 0x49, struct thaw_region2)

struct thaw_region2 {
	uint32_t slot;
	uint32_t flags;
	uint64_t guest_phys_addr;
	uint64_t memory_size; /* bytes */
	uint64_t userspace_addr;
	uint64_t guest_memfd_offset;
	uint32_t guest_memfd;
	uint32_t pad1;
	uint64_t userfault_bitmap; /* user address of unsigned longs */
	uint64_t pad2[13];
};

/* KVM_CREATE_GUEST_MEMFD, api.rst 4.142, since Linux 6.8. */
#define THAW_CREATE_GUEST_MEMFD _IOWR(KVMIO, 0xd4, struct thaw_guest_memfd)

struct thaw_guest_memfd {
	uint64_t size; /* bytes */
	uint64_t flags;
	uint64_t reserved[6];
};

#ifndef KVM_MEM_GUEST_MEMFD
#define KVM_MEM_GUEST_MEMFD (1UL << 2)
#endif
#ifndef KVM_MEM_USERFAULT
#define KVM_MEM_USERFAULT (1UL << 3)
#endif

/* guest_memfd that can be mapped and starts shared, since Linux 6.18. */
#ifndef GUEST_MEMFD_FLAG_MMAP
#define GUEST_MEMFD_FLAG_MMAP (1ULL << 0)
#endif
#ifndef GUEST_MEMFD_FLAG_INIT_SHARED
#define GUEST_MEMFD_FLAG_INIT_SHARED (1ULL << 1)
#endif

/* KVM_EXIT_MEMORY_FAULT, api.rst 5, since Linux 6.8. */
#ifndef KVM_EXIT_MEMORY_FAULT
#define KVM_EXIT_MEMORY_FAULT 39
#endif
#define THAW_MEMORY_FAULT_PRIVATE   (1ULL << 3)
#define THAW_MEMORY_FAULT_USERFAULT (1ULL << 4)

/* Layout of run->memory_fault, at the start of the union of kvm_run. */
struct thaw_memory_fault {
	uint64_t flags;
	uint64_t gpa;
	uint64_t size; /* bytes */
};

/* Capability numbers of released kernels. */
#ifndef KVM_CAP_USER_MEMORY2
#define KVM_CAP_USER_MEMORY2 231
#endif
#ifndef KVM_CAP_MEMORY_FAULT_INFO
#define KVM_CAP_MEMORY_FAULT_INFO 232
#endif
#ifndef KVM_CAP_GUEST_MEMFD
#define KVM_CAP_GUEST_MEMFD 234
#endif
#ifndef KVM_CAP_PRE_FAULT_MEMORY
#define KVM_CAP_PRE_FAULT_MEMORY 236
#endif
#ifndef KVM_PRE_FAULT_MEMORY
struct kvm_pre_fault_memory {
	__u64 gpa;
	__u64 size;
	__u64 flags;
	__u64 padding[5];
};
#define KVM_PRE_FAULT_MEMORY _IOWR(KVMIO, 0xd5, struct kvm_pre_fault_memory)
#endif
#ifndef KVM_CAP_GUEST_MEMFD_FLAGS
#define KVM_CAP_GUEST_MEMFD_FLAGS 244
#endif

#endif
