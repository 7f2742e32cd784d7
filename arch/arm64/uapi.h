/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The arm64 part of the KVM interface: <asm/kvm.h>, additions for old headers,
 * and registers by their names in the Arm Architecture Reference Manual (Arm
 * DDI 0487, D19; encodings are op0, op1, CRn, CRm, op2).
 */
#ifndef ARCH_ARM64_UAPI_H
#define ARCH_ARM64_UAPI_H

#include <stddef.h>

#include "vmm/kvm/uapi.h"

/* api.rst 4.137 and 8.37, since Linux 6.4. */
#ifndef KVM_CAP_COUNTER_OFFSET
#define KVM_CAP_COUNTER_OFFSET 227
#endif
#ifndef KVM_ARM_SET_COUNTER_OFFSET
#define KVM_ARM_SET_COUNTER_OFFSET \
	_IOW(KVMIO, 0xb5, struct kvm_arm_counter_offset)
struct kvm_arm_counter_offset {
	__u64 counter_offset;
	__u64 reserved;
};
#endif

/* A core register: x0 to x30, sp, pc and so on (api.rst 4.68). */
#define CORE_REG(field)                                        \
	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | \
	 KVM_REG_ARM_CORE_REG(field))
#define CORE_X(n) (CORE_REG(regs.regs[0]) + 2ULL * (n))

#define REG_MIDR_EL1	     ARM64_SYS_REG(3, 0, 0, 0, 0)
#define REG_MPIDR_EL1	     ARM64_SYS_REG(3, 0, 0, 0, 5)
#define REG_ID_AA64PFR0_EL1  ARM64_SYS_REG(3, 0, 0, 4, 0)
#define REG_ID_AA64MMFR0_EL1 ARM64_SYS_REG(3, 0, 0, 7, 0)
#define REG_SCTLR_EL1	     ARM64_SYS_REG(3, 0, 1, 0, 0)
#define REG_TTBR0_EL1	     ARM64_SYS_REG(3, 0, 2, 0, 0)
#define REG_TTBR1_EL1	     ARM64_SYS_REG(3, 0, 2, 0, 1)
#define REG_ESR_EL1	     ARM64_SYS_REG(3, 0, 5, 2, 0)
#define REG_FAR_EL1	     ARM64_SYS_REG(3, 0, 6, 0, 0)
#define REG_VBAR_EL1	     ARM64_SYS_REG(3, 0, 12, 0, 0)

#endif
