/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of the registers that KVM refuses to set.  Any one thread. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "arch/arm64/idreg.h"
#include "arch/arm64/refusal.h"
#include "arch/arm64/uapi.h"
#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

/*
 * Firmware registers, by number
 * (Documentation/virt/kvm/arm/fw-pseudo-registers.rst).
 */
static const char *const firmware[] = {
	"PSCI version",
	"mitigation SMCCC_ARCH_WORKAROUND_1 (Spectre v2)",
	"mitigation SMCCC_ARCH_WORKAROUND_2 (store bypass)",
	"mitigation SMCCC_ARCH_WORKAROUND_3 (Spectre-BHB)",
};
static const char *const services[] = {
	"SMCCC TRNG",
	"stolen time",
	"vendor hypervisor services (PTP)",
	"vendor hypervisor services",
};

bool arm64_reg_is_id(uint64_t id)
{
	const uint64_t mask =
		KVM_REG_ARM_COPROC_MASK | KVM_REG_ARM64_SYSREG_OP0_MASK |
		KVM_REG_ARM64_SYSREG_OP1_MASK | KVM_REG_ARM64_SYSREG_CRN_MASK;

	return (id & mask) == (ARM64_SYS_REG(3, 0, 0, 0, 0) & mask);
}

unsigned int arm64_id_reg_number(uint64_t id)
{
	return (unsigned int)id &
	       (KVM_REG_ARM64_SYSREG_CRM_MASK | KVM_REG_ARM64_SYSREG_OP2_MASK);
}

/* Appends names to the list, truncated to its size. */
static void add_missing(struct refusal *refusal, const char *names)
{
	size_t len = strlen(refusal->missing);

	snprintf(refusal->missing + len, sizeof(refusal->missing) - len, "%s%s",
		 len != 0 ? ", " : "", names);
}

/* An ID register: its features by name, or the whole register. */
static void note_id_reg(struct refusal *refusal, uint64_t id, uint64_t want,
			uint64_t have)
{
	unsigned int number = arm64_id_reg_number(id);
	const char *name = arm64_id_reg_name(number);
	char names[160];

	if (arm64_features_missing(number, have, want, names, sizeof(names)))
		add_missing(refusal, names);
	else if (refusal->other[0] != '\0')
		return;
	else if (id == REG_MIDR_EL1)
		snprintf(refusal->other, sizeof(refusal->other),
			 "different processor model (MIDR_EL1 %#" PRIx64
			 ", here %#" PRIx64 ")",
			 want, have);
	else
		snprintf(refusal->other, sizeof(refusal->other),
			 "%s (CRm %u, op2 %u) differs: %#" PRIx64
			 ", here %#" PRIx64,
			 name != NULL ? name : "ID register", number >> 3,
			 number & 7, want, have);
}

static void note_firmware(struct refusal *refusal, const char *const *names,
			  size_t count, uint64_t number)
{
	add_missing(refusal,
		    number < count ? names[number] : "a firmware service");
}

void arm64_refusal_note(struct refusal *refusal, uint64_t id, uint64_t want,
			uint64_t have, int err)
{
	uint64_t number = id & 0xffff;

	switch (id & KVM_REG_ARM_COPROC_MASK) {
	case KVM_REG_ARM_FW:
		note_firmware(refusal, firmware, ARRAY_SIZE(firmware), number);
		return;
	case KVM_REG_ARM_FW_FEAT_BMAP:
		note_firmware(refusal, services, ARRAY_SIZE(services), number);
		return;
	case KVM_REG_ARM64_SVE:
		if (strstr(refusal->missing, "SVE") == NULL)
			add_missing(refusal,
				    "SVE with the same vector lengths");
		return;
	default:
		break;
	}
	if (arm64_reg_is_id(id) && err != -ENOENT)
		note_id_reg(refusal, id, want, have);
	else if (refusal->other[0] == '\0')
		snprintf(refusal->other, sizeof(refusal->other),
			 "register %#" PRIx64 " cannot be set: %s", id,
			 err == -ENOENT ? "unknown to this KVM" :
					  strerror(-err));
}

int arm64_refusal_report(const struct refusal *refusal, unsigned int cpu)
{
	if (refusal->missing[0] != '\0')
		return log_fail(ENOTSUP,
				"vCPU %u: snapshot needs features missing on "
				"this host: %s",
				cpu, refusal->missing);
	if (refusal->other[0] != '\0')
		return log_fail(
			ENOTSUP,
			"vCPU %u: snapshot is incompatible with this host: %s",
			cpu, refusal->other);
	return 0;
}
