/* SPDX-License-Identifier: BSD-2-Clause */
/* GICv3: distributor 12.8, redistributor 12.10 and 12.11, interface 12.2. */
#include "guest/lib/arm64/arm64.h"
#include "guest/lib/arm64/gic.h"

#define GICD_CTLR	0x00000
#define CTLR_ARE_GROUP1 0x00012
#define GICR_TYPER	0x00008
#define GICR_WAKER	0x00014
#define GICR_IGROUPR0	0x10080
#define GICR_ISENABLER0 0x10100
#define GICR_BYTES	0x20000
#define TYPER_LAST	(1u << 4)
#define WAKER_SLEEP	2u

void gic_enable(void)
{
	*reg32(gic_places()->distributor + GICD_CTLR) = CTLR_ARE_GROUP1;
	*reg32(gic_redistributor() + GICR_WAKER) &= ~WAKER_SLEEP;
	sysreg_write("S3_0_C12_C12_5", 7); /* ICC_SRE_EL1 */
	sysreg_write("S3_0_C4_C6_0", 0xff); /* ICC_PMR_EL1 */
	sysreg_write("S3_0_C12_C12_7", 1); /* ICC_IGRPEN1_EL1 */
}

/* Finds the redistributor with the affinity of MPIDR_EL1. */
uint64_t gic_redistributor(void)
{
	uint64_t mpidr = sysreg_read("mpidr_el1"), at, typer;
	uint32_t affinity =
		(uint32_t)((mpidr & 0xffffff) | (mpidr >> 8 & 0xff000000));

	for (at = gic_places()->redistributors; at; at += GICR_BYTES) {
		typer = *reg64(at + GICR_TYPER);
		if (typer >> 32 == affinity)
			return at;
		if (typer & TYPER_LAST)
			break;
	}
	return 0;
}

void gic_enable_private(unsigned int id)
{
	uint64_t at = gic_redistributor();

	*reg32(at + GICR_IGROUPR0) |= 1u << id;
	*reg32(at + GICR_ISENABLER0) = 1u << id;
}

uint64_t gic_acknowledge(void)
{
	return sysreg_read("S3_0_C12_C12_0"); /* ICC_IAR1_EL1 */
}

void gic_end(uint64_t id)
{
	sysreg_write("S3_0_C12_C12_1", id); /* ICC_EOIR1_EL1 */
}
