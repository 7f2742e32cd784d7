/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * State of the GIC (Documentation/virt/kvm/devices/arm-vgic-v3.rst).  GICD_IIDR
 * is first, because its revision selects the meaning of the rest; the LPI table
 * addresses of a redistributor precede EnableLPIs.
 *
 * KVM writes pending LPIs to tables in guest memory, so memory is saved after
 * the GIC, and restored before it.
 *
 * vCPUs do not run; any one thread.
 */
#include <errno.h>

#include "arch/arm64/layout.h"
#include "arch/arm64/private.h"
#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/snap/section.h"

/* Number of words for 1, 2, 8 or 64 bits for each interrupt. */
#define WORDS_1	 (ARM64_SPI_COUNT / 32)
#define WORDS_2	 (ARM64_SPI_COUNT / 16)
#define WORDS_8	 (ARM64_SPI_COUNT / 4)
#define WORDS_64 (ARM64_SPI_COUNT * 2)

/* A range of 32-bit registers. */
struct gic_reg {
	const char *name;
	uint32_t offset;
	uint32_t words;
	/*
	 * The register that clears this write-1-to-set one, 0: none.  It is
	 * written with all ones first.
	 */
	uint32_t clear;
};

/* Distributor (Arm IHI 0069, 12.9.1), without SGIs and PPIs. */
static const struct gic_reg dist_regs[] = {
	{ "GICD_IIDR", 0x0008, 1, 0 },
	{ "GICD_CTLR", 0x0000, 1, 0 },
	{ "GICD_IGROUPR", 0x0084, WORDS_1, 0 },
	{ "GICD_ICFGR", 0x0c08, WORDS_2, 0 },
	{ "GICD_IPRIORITYR", 0x0420, WORDS_8, 0 },
	{ "GICD_IROUTER", 0x6100, WORDS_64, 0 },
	{ "GICD_ISENABLER", 0x0104, WORDS_1, 0x0184 },
	{ "GICD_ISPENDR", 0x0204, WORDS_1, 0 },
	{ "GICD_ISACTIVER", 0x0304, WORDS_1, 0x0384 },
};

/* Redistributor, RD_base and SGI_base (12.10.1, 12.11.1). */
#define GICR_CTLR	      0x00000
#define GICR_CTLR_ENABLE_LPIS 1
#define GICR_PROPBASER	      0x00070
#define GICR_PENDBASER	      0x00078

static const struct gic_reg redist_regs[] = {
	{ "GICR_PROPBASER", GICR_PROPBASER, 2, 0 },
	{ "GICR_PENDBASER", GICR_PENDBASER, 2, 0 },
	{ "GICR_CTLR", GICR_CTLR, 1, 0 },
	{ "GICR_IGROUPR0", 0x10080, 1, 0 },
	{ "GICR_ICFGR", 0x10c00, 2, 0 },
	{ "GICR_IPRIORITYR", 0x10400, 8, 0 },
	{ "GICR_ISENABLER0", 0x10100, 1, 0x10180 },
	{ "GICR_ISPENDR0", 0x10200, 1, 0 },
	{ "GICR_ISACTIVER0", 0x10300, 1, 0x10380 },
};

/* System registers of the CPU interface, by the low half of their encoding. */
#define ICC_REG(op0, op1, crn, crm, op2)          \
	(ARM64_SYS_REG(op0, op1, crn, crm, op2) & \
	 KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK)

static const struct icc_reg {
	const char *name;
	uint64_t instr;
	unsigned int pri_bits; /* minimum number of priority bits */
} icc_regs[] = {
	{ "ICC_SRE_EL1", ICC_REG(3, 0, 12, 12, 5), 0 },
	{ "ICC_CTLR_EL1", ICC_REG(3, 0, 12, 12, 4), 0 },
	{ "ICC_IGRPEN0_EL1", ICC_REG(3, 0, 12, 12, 6), 0 },
	{ "ICC_IGRPEN1_EL1", ICC_REG(3, 0, 12, 12, 7), 0 },
	{ "ICC_PMR_EL1", ICC_REG(3, 0, 4, 6, 0), 0 },
	{ "ICC_BPR0_EL1", ICC_REG(3, 0, 12, 8, 3), 0 },
	{ "ICC_BPR1_EL1", ICC_REG(3, 0, 12, 12, 3), 0 },
	{ "ICC_AP0R0_EL1", ICC_REG(3, 0, 12, 8, 4), 0 },
	{ "ICC_AP0R1_EL1", ICC_REG(3, 0, 12, 8, 5), 6 },
	{ "ICC_AP0R2_EL1", ICC_REG(3, 0, 12, 8, 6), 7 },
	{ "ICC_AP0R3_EL1", ICC_REG(3, 0, 12, 8, 7), 7 },
	{ "ICC_AP1R0_EL1", ICC_REG(3, 0, 12, 9, 0), 0 },
	{ "ICC_AP1R1_EL1", ICC_REG(3, 0, 12, 9, 1), 6 },
	{ "ICC_AP1R2_EL1", ICC_REG(3, 0, 12, 9, 2), 7 },
	{ "ICC_AP1R3_EL1", ICC_REG(3, 0, 12, 9, 3), 7 },
};

/* ICC_CTLR_EL1.PRIbits: number of priority bits minus one (12.2.6). */
#define ICC_CTLR_PRI_SHIFT 8
#define ICC_CTLR_PRI_MASK  7

/* MPIDR of an attribute: Aff3.Aff2.Aff1.Aff0 in the upper half. */
static uint64_t mpidr_attr(uint64_t mpidr)
{
	return ((mpidr >> 8 & 0xff000000) | (mpidr & 0xffffff))
	       << KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT;
}

/* Logs the register that the kernel refused. */
static int refused(int err, const char *verb, const char *name)
{
	return log_errno(-err, "GICv3: %s %s", verb, name);
}

static int reg_save(int fd, uint32_t group, uint64_t cpu,
		    const struct gic_reg *reg, struct snap_writer *w)
{
	for (uint32_t i = 0; i < reg->words; i++) {
		uint32_t value;
		int err = kvm_attr_get(fd, group, cpu | (reg->offset + 4 * i),
				       &value);

		if (err < 0)
			return refused(err, "read", reg->name);
		snap_put_u32(w, value);
	}
	return 0;
}

static int reg_load(int fd, uint32_t group, uint64_t cpu,
		    const struct gic_reg *reg, struct snap_reader *r)
{
	const uint32_t all = UINT32_MAX;
	int err = 0;

	for (uint32_t i = 0; i < reg->words && err >= 0; i++) {
		uint32_t value = snap_get_u32(r);

		if (r->error != 0)
			return r->error;
		if (reg->clear != 0)
			err = kvm_attr_set(fd, group,
					   cpu | (reg->clear + 4 * i), &all);
		if (err >= 0)
			err = kvm_attr_set(fd, group,
					   cpu | (reg->offset + 4 * i), &value);
	}
	return err < 0 ? refused(err, "set", reg->name) : 0;
}

/* Levels of 32 interrupt lines, starting at @intid. */
static int level_save(int fd, uint64_t cpu, uint32_t intid,
		      struct snap_writer *w)
{
	uint32_t value;
	int err = kvm_attr_get(fd, KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, cpu | intid,
			       &value);

	if (err < 0)
		return refused(err, "read", "line levels");
	snap_put_u32(w, value);
	return 0;
}

static int level_load(int fd, uint64_t cpu, uint32_t intid,
		      struct snap_reader *r)
{
	uint32_t value = snap_get_u32(r);
	int err;

	if (r->error != 0)
		return r->error;
	err = kvm_attr_set(fd, KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, cpu | intid,
			   &value);
	return err < 0 ? refused(err, "set", "line levels") : 0;
}

static int dist_save(int fd, struct snap_writer *w)
{
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(dist_regs) && err == 0; i++)
		err = reg_save(fd, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0,
			       &dist_regs[i], w);
	for (uint32_t n = 0; n < ARM64_SPI_COUNT && err == 0; n += 32)
		err = level_save(fd, 0, ARM64_SPI_INTID + n, w);
	return err;
}

static int dist_load(int fd, struct snap_reader *r)
{
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(dist_regs) && err == 0; i++)
		err = reg_load(fd, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0,
			       &dist_regs[i], r);
	for (uint32_t n = 0; n < ARM64_SPI_COUNT && err == 0; n += 32)
		err = level_load(fd, 0, ARM64_SPI_INTID + n, r);
	return err;
}

static int redist_save(int fd, uint64_t cpu, struct snap_writer *w)
{
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(redist_regs) && err == 0; i++)
		err = reg_save(fd, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, cpu,
			       &redist_regs[i], w);
	return err != 0 ? err : level_save(fd, cpu, 0, w);
}

static int redist_load(int fd, uint64_t cpu, struct snap_reader *r)
{
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(redist_regs) && err == 0; i++)
		err = reg_load(fd, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, cpu,
			       &redist_regs[i], r);
	return err != 0 ? err : level_load(fd, cpu, 0, r);
}

/* Number of priority bits of the CPU interface. */
static int pri_bits(int fd, uint64_t cpu, unsigned int *bits)
{
	uint64_t ctlr;
	int err = kvm_attr_get(fd, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS,
			       cpu | ICC_REG(3, 0, 12, 12, 4), &ctlr);

	if (err < 0)
		return refused(err, "read", "ICC_CTLR_EL1");
	*bits = (ctlr >> ICC_CTLR_PRI_SHIFT & ICC_CTLR_PRI_MASK) + 1;
	return 0;
}

static int icc_save(int fd, uint64_t cpu, struct snap_writer *w)
{
	unsigned int bits = 0;
	int err = pri_bits(fd, cpu, &bits);

	if (err != 0)
		return err;
	snap_put_u8(w, (uint8_t)bits);
	for (size_t i = 0; i < ARRAY_SIZE(icc_regs); i++) {
		uint64_t value;

		if (icc_regs[i].pri_bits > bits)
			continue;
		err = kvm_attr_get(fd, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS,
				   cpu | icc_regs[i].instr, &value);
		if (err < 0)
			return refused(err, "read", icc_regs[i].name);
		snap_put_u64(w, value);
	}
	return 0;
}

static int icc_load(int fd, uint64_t cpu, struct snap_reader *r)
{
	unsigned int saved = snap_get_u8(r);
	unsigned int bits = 0;
	int err = pri_bits(fd, cpu, &bits);

	if (err != 0)
		return err;
	if (r->error == 0 && saved != bits)
		return log_fail(ENOTSUP,
				"snapshot needs a GIC with %u priority bits; "
				"this host has %u",
				saved, bits);
	for (size_t i = 0; i < ARRAY_SIZE(icc_regs); i++) {
		uint64_t value;

		if (icc_regs[i].pri_bits > bits)
			continue;
		value = snap_get_u64(r);
		if (r->error != 0)
			return r->error;
		err = kvm_attr_set(fd, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS,
				   cpu | icc_regs[i].instr, &value);
		if (err < 0)
			return refused(err, "set", icc_regs[i].name);
	}
	return 0;
}

/* Reads a 64-bit redistributor register as two halves, as KVM requires. */
static int redist_get64(int fd, uint64_t cpu, uint32_t offset, uint64_t *value)
{
	uint32_t half[2] = { 0 };
	int err = 0;

	for (unsigned int i = 0; i < 2 && err >= 0; i++)
		err = kvm_attr_get(fd, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS,
				   cpu | (offset + 4 * i), &half[i]);
	*value = half[0] | (uint64_t)half[1] << 32;
	return err < 0 ? refused(err, "read",
				 "GICR_PROPBASER and GICR_PENDBASER") :
			 0;
}

int arm64_gic_lpis(const struct machine *machine, unsigned int n, bool *enabled,
		   uint64_t *propbaser, uint64_t *pendbaser)
{
	int fd = machine->arch->gic_fd;
	uint64_t mpidr = 0, cpu;
	uint32_t ctlr = 0;
	int err = arm64_mpidr(&machine->cpus[n], &mpidr);

	if (err != 0)
		return err;
	cpu = mpidr_attr(mpidr);
	err = kvm_attr_get(fd, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS,
			   cpu | GICR_CTLR, &ctlr);
	if (err < 0)
		return refused(err, "read", "GICR_CTLR");
	*enabled = (ctlr & GICR_CTLR_ENABLE_LPIS) != 0;
	err = redist_get64(fd, cpu, GICR_PROPBASER, propbaser);
	if (err == 0)
		err = redist_get64(fd, cpu, GICR_PENDBASER, pendbaser);
	return err;
}

int arm64_gic_save(struct machine *machine, struct snap_writer *w)
{
	int fd = machine->arch->gic_fd;
	int err = kvm_attr_set(fd, KVM_DEV_ARM_VGIC_GRP_CTRL,
			       KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, NULL);

	if (err < 0)
		return refused(err, "save", "pending tables");
	err = dist_save(fd, w);
	for (unsigned int i = 0; i < machine->cpu_count && err == 0; i++) {
		uint64_t mpidr = 0;

		err = arm64_mpidr(&machine->cpus[i], &mpidr);
		if (err == 0)
			err = redist_save(fd, mpidr_attr(mpidr), w);
		if (err == 0)
			err = icc_save(fd, mpidr_attr(mpidr), w);
	}
	return err;
}

int arm64_gic_load(struct machine *machine, struct snap_reader *r)
{
	int fd = machine->arch->gic_fd;
	int err = dist_load(fd, r);

	for (unsigned int i = 0; i < machine->cpu_count && err == 0; i++) {
		uint64_t mpidr = 0;

		err = arm64_mpidr(&machine->cpus[i], &mpidr);
		if (err == 0)
			err = redist_load(fd, mpidr_attr(mpidr), r);
		if (err == 0)
			err = icc_load(fd, mpidr_attr(mpidr), r);
	}
	return err;
}
