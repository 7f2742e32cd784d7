/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fields of the AArch64 ID registers (Arm DDI 0487, D19.2): four bits each; a
 * larger value means more, and in signed fields 0xf means absent.
 *
 * Constant tables; any thread.
 */
#include <stdbool.h>
#include <stdio.h>

#include "arch/arm64/idreg.h"
#include "vmm/base/bytes.h"

#define FIELDS 16

/* A register and its fields, from bit 0 up; NULL: no name. */
struct id_reg {
	const char *name;
	unsigned int reg;
	uint16_t is_signed; /* one bit for each field */
	const char *fields[FIELDS];
};

static const struct id_reg id_regs[] = {
	{ "ID_AA64PFR0_EL1",
	  ID_REG(4, 0),
	  1 << 4 | 1 << 5,
	  { "EL0", "EL1", "EL2", "EL3", "FP", "AdvSIMD", "GIC", "RAS", "SVE",
	    "SEL2", "MPAM", "AMU", "DIT", "RME", "CSV2", "CSV3" } },
	{ "ID_AA64PFR1_EL1",
	  ID_REG(4, 1),
	  0,
	  { "BTI", "SSBS", "MTE", "RAS_frac", "MPAM_frac", NULL, "SME",
	    "RNDR_trap", "CSV2_frac", "NMI", "MTE_frac", "GCS", "THE", "MTEX",
	    "DF2", "PFAR" } },
	{ "ID_AA64ZFR0_EL1",
	  ID_REG(4, 4),
	  0,
	  { "SVE2", "SVE-AES", NULL, NULL, "SVE-BitPerm", "SVE-BF16", NULL,
	    NULL, "SVE-SHA3", NULL, "SVE-SM4", "SVE-I8MM", NULL, "SVE-F32MM",
	    "SVE-F64MM" } },
	{ "ID_AA64DFR0_EL1",
	  ID_REG(5, 0),
	  1 << 2,
	  { "Debug", "Trace", "PMU", "breakpoints", NULL, "watchpoints", NULL,
	    "context breakpoints", "SPE", "DoubleLock", "TraceFilt", "TRBE" } },
	{ "ID_AA64ISAR0_EL1",
	  ID_REG(6, 0),
	  0,
	  { NULL, "AES", "SHA1", "SHA2", "CRC32", "LSE atomics", "TME", "RDM",
	    "SHA3", "SM3", "SM4", "DotProd", "FHM", "FlagM", "TLBI-OS",
	    "RNDR" } },
	{ "ID_AA64ISAR1_EL1",
	  ID_REG(6, 1),
	  0,
	  { "DPB", "PAuth (QARMA5)", "PAuth (own)", "JSCVT", "FCMA", "LRCPC",
	    "generic PAuth (QARMA5)", "generic PAuth (own)", "FRINTTS", "SB",
	    "SPECRES", "BF16", "DGH", "I8MM", "XS", "LS64" } },
	{ "ID_AA64ISAR2_EL1",
	  ID_REG(6, 2),
	  0,
	  { "WFxT", "RPRES", "generic PAuth (QARMA3)", "PAuth (QARMA3)", "MOPS",
	    "HBC", "PAC_frac", "CLRBHB", NULL, NULL, NULL, NULL, NULL,
	    "CSSC" } },
	{ "ID_AA64MMFR0_EL1",
	  ID_REG(7, 0),
	  1 << 6 | 1 << 7,
	  { "PARange", "ASIDBits", "BigEnd", "SNSMem", "BigEndEL0", "16K pages",
	    "64K pages", "4K pages", NULL, NULL, NULL, "ExS", NULL, NULL, "FGT",
	    "ECV" } },
	{ "ID_AA64MMFR1_EL1",
	  ID_REG(7, 1),
	  0,
	  { "HAFDBS", "VMIDBits", "VHE", "HPDS", "LOR", "PAN", "SpecSEI", "XNX",
	    "TWED", "ETS", "HCX", "AFP", "nTLBPA", "TIDCP1", "CMOW" } },
	{ "ID_AA64MMFR2_EL1",
	  ID_REG(7, 2),
	  0,
	  { "CnP", "UAO", "LSMAOC", "IESB", "VARange", "CCIDX", "NV", "ST",
	    "LSE2", "IDST", "S2FWB", NULL, "TTL", "BBM", "EVT", "E0PD" } },
};

static const struct id_reg *find(unsigned int reg)
{
	for (size_t i = 0; i < ARRAY_SIZE(id_regs); i++) {
		if (id_regs[i].reg == reg)
			return &id_regs[i];
	}
	return NULL;
}

/* A field's value, signed if the field is. */
static int field(const struct id_reg *reg, unsigned int n, uint64_t value)
{
	int v = (int)(value >> (4 * n) & 0xf);

	return reg->is_signed >> n & 1 && v >= 8 ? v - 16 : v;
}

unsigned int arm64_features_missing(unsigned int id_reg, uint64_t have,
				    uint64_t want, char *buf, size_t room)
{
	const struct id_reg *reg = find(id_reg);
	unsigned int count = 0;
	size_t len = 0;

	if (room != 0)
		buf[0] = '\0';
	for (unsigned int n = 0; reg != NULL && n < FIELDS; n++) {
		int put;

		if (field(reg, n, have) >= field(reg, n, want))
			continue;
		if (len < room) {
			put = reg->fields[n] != NULL ?
				      snprintf(buf + len, room - len, "%s%s",
					       count != 0 ? ", " : "",
					       reg->fields[n]) :
				      snprintf(buf + len, room - len,
					       "%sfield %u of %s",
					       count != 0 ? ", " : "", n,
					       reg->name);
			len += put > 0 ? (size_t)put : 0;
		}
		count++;
	}
	return count;
}

void arm64_features(unsigned int id_reg, uint64_t value, FILE *to)
{
	const struct id_reg *reg = find(id_reg);

	for (unsigned int n = 0; reg != NULL && n < FIELDS; n++) {
		/*
		 * The minimum value of a present feature: 0 in a signed field.
		 */
		int least = reg->is_signed >> n & 1 ? 0 : 1;
		int v = field(reg, n, value);

		if (v < least)
			continue;
		if (reg->fields[n] != NULL)
			fputs(reg->fields[n], to);
		else
			fprintf(to, "%s field %u", reg->name, n);
		if (v > least)
			fprintf(to, "=%d", v);
		fputc('\n', to);
	}
}

const char *arm64_id_reg_name(unsigned int id_reg)
{
	const struct id_reg *reg = find(id_reg);

	return reg != NULL ? reg->name : NULL;
}
