/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parts of the KVM interface under test that the build machine's headers
 * lack.  Values and layouts are from the kernel document api.rst and from the
 * API text of KVM_MEM_USERFAULT.  The suite has its own copy, for it judges the
 * kernel and must not inherit an error of the program that uses it.
 */
#ifndef CONFORMANCE_UAPI_H
#define CONFORMANCE_UAPI_H

#include <linux/kvm.h>
#include <stdint.h>
#include <sys/ioctl.h>

/* KVM_SET_USER_MEMORY_REGION2, api.rst 4.140. */
struct uf_region {
	uint32_t slot;
	uint32_t flags;
	uint64_t guest_phys_addr;
	uint64_t memory_size; /* bytes */
	uint64_t userspace_addr;
	uint64_t guest_memfd_offset;
	uint32_t guest_memfd;
	uint32_t pad1;
	uint64_t userfault_bitmap;
	uint64_t pad2[13];
};

/* KVM_CREATE_GUEST_MEMFD, api.rst 4.142. */
struct uf_guest_memfd {
	uint64_t size; /* bytes */
	uint64_t flags;
	uint64_t reserved[6];
};

/* KVM_PRE_FAULT_MEMORY, api.rst 4.143. */
struct uf_pre_fault {
	uint64_t gpa;
	uint64_t size; /* bytes */
	uint64_t flags;
	uint64_t padding[5];
};

/* The exit's part of struct kvm_run, at its union. */
struct uf_memory_fault {
	uint64_t flags;
	uint64_t gpa;
	uint64_t size; /* bytes */
};

#define UF_SET_REGION	_IOW(KVMIO, 0x49, struct uf_region)
#define UF_CREATE_MEMFD _IOWR(KVMIO, 0xd4, struct uf_guest_memfd)
#define UF_PRE_FAULT	_IOWR(KVMIO, 0xd5, struct uf_pre_fault)

#define UF_MEM_LOG_DIRTY (1U << 0)
#define UF_MEM_READONLY	 (1U << 1)
#define UF_MEM_MEMFD	 (1U << 2)
#define UF_MEM_USERFAULT (1U << 3)

#define UF_MEMFD_MMAP	     (1ULL << 0)
#define UF_MEMFD_INIT_SHARED (1ULL << 1)

#define UF_EXIT_MEMORY_FAULT 39
#define UF_FAULT_USERFAULT   (1ULL << 4)

#define UF_CAP_GUEST_MEMFD_FLAGS 244

#endif
